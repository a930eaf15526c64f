# Bank switching: each hart has a window of 4 KiB and 16 banks that its mapper puts there. A bank begins with its
# number, a counter, and a function that returns the number: the harts look at all three after each switch, so
# that neither a load, nor a store, nor a fetch may come from the bank before.
        .equ    BANKS, 16
        .equ    ROUNDS, 20000
        .equ    WINDOW, 0x60000000              # of hart 0; the others follow

_start: mv      s0, a0
        la      t0, wrong
        csrw    stvec, t0
        li      s1, WINDOW
        slli    t0, s0, 12
        add     s1, s1, t0
        li      s2, MAPPER
        la      s3, expected                    # how often each bank was seen
        slli    t0, s0, 6
        add     s3, s3, t0
        li      s4, ROUNDS
        addi    s5, s0, 1                       # random numbers
        li      s6, 1664525
round:  mul     s5, s5, s6
        addi    s5, s5, 1013
        srli    s7, s5, 16
        andi    s7, s7, BANKS - 1
        sw      s7, 0(s2)                       # switch
        lw      t0, 0(s1)
        bne     t0, s7, wrong
        jalr    ra, 8(s1)                       # the bank's own code
        bne     a0, s7, wrong
        lw      t0, 4(s1)
        addi    t0, t0, 1
        sw      t0, 4(s1)
        slli    t1, s7, 2
        add     t1, t1, s3
        lw      t2, 0(t1)
        addi    t2, t2, 1
        sw      t2, 0(t1)
        bne     t0, t2, wrong
        addi    s4, s4, -1
        bnez    s4, round
        li      t0, 0x5555
1:      li      t1, FINISHER
        sw      t0, 0(t1)
wrong:  li      t0, 0x13333
        j       1b

        .align  6
expected:
        .space  1024
