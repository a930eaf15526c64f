# What harts may expect of memory, two of them, phase after phase:
#
#   1  a spinlock by AMOSWAP.aq and .rl around a plain counter
#   2  the same by LR and SC
#   3  a queue from hart 0 to hart 1: data, then FENCE, then the index
#   4  Peterson's lock: plain loads and stores, and a FENCE between the store of the flag and the load of the other's
#
# The host looks at the counters.
        .equ    ROUNDS, 20000
        .equ    MESSAGES, 20000
        .equ    QUEUE, 64                       # messages that fit

_start: mv      s0, a0
        la      t0, wrong
        csrw    stvec, t0
        li      s9, 0                           # barriers passed

        call    barrier
        la      s1, lock
        la      s2, count_swap
        li      s3, ROUNDS
        li      s4, 1
1:      amoswap.w.aq t0, s4, (s1)
        beqz    t0, 2f
        pause
        j       1b
2:      lw      t0, 0(s2)
        addi    t0, t0, 1
        sw      t0, 0(s2)
        amoswap.w.rl zero, zero, (s1)
        addi    s3, s3, -1
        bnez    s3, 1b

        call    barrier
        la      s2, count_lr_sc
        li      s3, ROUNDS
1:      lr.w.aq t0, (s1)
        bnez    t0, 3f
        sc.w    t0, s4, (s1)
        bnez    t0, 1b
        lw      t0, 0(s2)
        addi    t0, t0, 1
        sw      t0, 0(s2)
        fence   rw, w
        sw      zero, 0(s1)
        addi    s3, s3, -1
        bnez    s3, 1b
        j       4f
3:      pause
        j       1b
4:
        call    barrier
        la      s1, head                        # next to write, by hart 0
        la      s2, tail                        # next to read, by hart 1
        la      s5, queue
        li      s3, 0
        li      s4, MESSAGES
        li      s6, 0x9e37
        bnez    s0, receive
send:   lw      t0, 0(s2)
        sub     t1, s3, t0
        li      t2, QUEUE
        bltu    t1, t2, 1f
        pause
        j       send
1:      fence   r, rw
        andi    t0, s3, QUEUE - 1
        slli    t0, t0, 3
        add     t0, t0, s5
        mul     t1, s3, s6
        sw      s3, 0(t0)
        sw      t1, 4(t0)
        fence   w, w
        addi    s3, s3, 1
        sw      s3, 0(s1)
        bne     s3, s4, send
        j       peterson
receive:
        lw      t0, 0(s1)
        bne     t0, s3, 1f
        pause
        j       receive
1:      fence   r, r
        andi    t0, s3, QUEUE - 1
        slli    t0, t0, 3
        add     t0, t0, s5
        lw      t1, 0(t0)
        lw      t2, 4(t0)
        bne     t1, s3, wrong
        mul     t3, s3, s6
        bne     t2, t3, wrong
        fence   r, w
        addi    s3, s3, 1
        sw      s3, 0(s2)
        bne     s3, s4, receive

peterson:
        call    barrier
        la      s1, flags
        slli    t0, s0, 2
        add     s5, s1, t0                      # own flag
        xori    t0, t0, 4
        add     s6, s1, t0                      # the other's
        la      s7, turn
        la      s2, count_peterson
        xori    s8, s0, 1
        li      s3, ROUNDS
        li      s4, 1
1:      sw      s4, 0(s5)
        sw      s8, 0(s7)
        fence   rw, rw
2:      lw      t0, 0(s6)
        beqz    t0, 3f
        lw      t0, 0(s7)
        bne     t0, s8, 3f
        pause
        j       2b
3:      fence   r, rw
        lw      t0, 0(s2)
        addi    t0, t0, 1
        sw      t0, 0(s2)
        fence   rw, w
        sw      zero, 0(s5)
        addi    s3, s3, -1
        bnez    s3, 1b

        call    barrier
        li      t0, 0x5555
1:      li      t1, FINISHER
        sw      t0, 0(t1)
wrong:  li      t0, 0x13333
        j       1b

# Both harts are here.
barrier:
        la      t0, arrived
        li      t1, 1
        amoadd.w.aqrl zero, t1, (t0)
        addi    s9, s9, 2
1:      lw      t1, 0(t0)
        bge     t1, s9, 2f
        pause
        j       1b
2:      fence   rw, rw
        ret

        .align  7
lock:   .word   0
        .align  7
arrived:
        .word   0
        .align  7
count_swap:
        .word   0
        .align  7
count_lr_sc:
        .word   0
        .align  7
count_peterson:
        .word   0
        .align  7
head:   .word   0
        .align  7
tail:   .word   0
        .align  7
flags:  .word   0, 0
        .align  7
turn:   .word   0
        .align  7
queue:  .space  512
