# The guest of examples/rust and examples/emscripten, RV32I: each hart counts, and squares its count, until the host
# sets `stop`. Loop, function and counters lie in the range that the host cuts into slots and joins again.
#
#   RAM              the beginning, and `stop`: one slot, never changed
#   RANGE            the loop                ) one slot,
#   RANGE + 0x4000   a function it calls     ) or three:
#   RANGE + 0x8000   a page for each hart    ) machine.ts
        .equ    RANGE, RAM + 0x10000

_start: la      s1, pages                       # a0 is the number of the hart
        slli    a0, a0, 12
        add     s1, s1, a0
        la      s2, stop
        li      s0, 0
        la      t0, loop
        jr      t0

        .align  12
stop:   .word   0

        .org    RANGE
loop:   lw      t0, 0(s1)                       # the count in memory, and in s0
        addi    t0, t0, 1
        sw      t0, 0(s1)
        addi    s0, s0, 1
        mv      a0, s0
        call    square
        sw      a0, 4(s1)
        lw      t0, 0(s2)
        beqz    t0, loop
        sw      s0, 8(s1)
        ecall

        .org    RANGE + 0x4000
square: li      t2, 32                          # by additions
        li      t3, 0
        mv      t4, a0
1:      andi    t5, t4, 1
        beqz    t5, 2f
        add     t3, t3, a0
2:      slli    a0, a0, 1
        srli    t4, t4, 1
        addi    t2, t2, -1
        bnez    t2, 1b
        mv      a0, t3
        ret

        .org    RANGE + 0x8000
pages:  .space  0x4000
