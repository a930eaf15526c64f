# RHBZ 1979276 as a program: every hart executes and counts inside the range that the host splits, merges, moves
# and toggles. An access that finds no memory is an access fault; the handler, which is outside of the range,
# counts it and tries again, so that all counters add up in the end whatever happened on the way.
#
#   RAM              handler and results        never changed
#   RANGE            nothing                    ) one slot,
#   RANGE + 0x30000  the loop                   ) or several:
#   RANGE + 0x40000  a function that it calls   ) scenarios/split.ts
#   RANGE + 0x50000  counters                   )
        .equ    RANGE, RAM + 0x100000
        .equ    CAUSE_FETCH, 1
        .equ    CAUSE_LOAD, 5
        .equ    CAUSE_STORE, 7

_start: mv      s0, a0
        la      t0, handler
        csrw    stvec, t0
        slli    t1, s0, 6
        la      s6, results                     # 64 bytes per hart
        add     s6, s6, t1
        csrw    sscratch, s6
        la      s1, private
        slli    t1, s0, 10
        add     s1, s1, t1                      # a page's quarter per hart
        la      s2, by_amo
        la      s4, by_lr_sc
        la      s3, stop
        li      s5, 0                           # rounds
        li      s7, 1
        la      t0, loop
        jr      t0

# Faults by cause are words 4 to 6 of the results; 0 to 3 are for two registers.
handler:
        csrrw   t6, sscratch, t6
        sw      t5, 8(t6)
        sw      t4, 12(t6)
        csrr    t5, scause
        addi    t4, t6, 16
        addi    t5, t5, -CAUSE_FETCH
        beqz    t5, 1f
        addi    t4, t6, 20
        addi    t5, t5, CAUSE_FETCH - CAUSE_LOAD
        beqz    t5, 1f
        addi    t4, t6, 24
        addi    t5, t5, CAUSE_LOAD - CAUSE_STORE
        bnez    t5, wrong
1:      lw      t5, 0(t4)
        addi    t5, t5, 1
        sw      t5, 0(t4)
        lw      t4, 12(t6)
        lw      t5, 8(t6)
        csrrw   t6, sscratch, t6
        sret

# A trap that nobody expects, or a result that is wrong: fail with the cause.
wrong:  csrr    t5, scause
        slli    t5, t5, 16
        li      t4, 0x3333
        or      t5, t5, t4
        li      t4, FINISHER
        sw      t5, 0(t4)

finish: sw      s5, 0(s6)
        li      t0, 0x5555
        li      t1, FINISHER
        sw      t0, 0(t1)

        .align  12
stop:   .word   0
        .align  12
results:
        .space  4096

        .org    RANGE + 0x30000
loop:   lw      t0, 0(s1)                       # a counter of this hart's own
        addi    t0, t0, 1
        sw      t0, 0(s1)
        amoadd.w zero, s7, (s2)                 # one for all
1:      lr.w    t0, (s4)                        # another
        addi    t0, t0, 1
        sc.w    t1, t0, (s4)
        bnez    t1, 1b
        mv      a0, s5
        call    square                          # in the next segment
        sw      a0, 4(s1)
        addi    s5, s5, 1
        lw      t0, 0(s3)
        beqz    t0, loop
        la      t0, finish
        jr      t0

        .org    RANGE + 0x40000
square: li      t2, 16                          # by additions, the low 16 bits
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

        .org    RANGE + 0x50000
by_amo: .word   0
        .align  12
by_lr_sc:
        .word   0
        .align  12
private:
        .space  16384
