# Work without end, for measuring: sieve, checksum, calls, multiplications, in turns. Each hart has memory of its
# own. Symbols: RAM.
        .equ    FLAGS, 16384                    # bytes of the sieve
_start: mv      s0, a0
        li      s1, RAM + 0x10000
        slli    t0, s0, 16
        add     s1, s1, t0                      # this hart's memory
        li      sp, 0x8800
        add     sp, sp, s1
forever:
        call    sieve
        call    checksum
        li      a0, 12
        call    fib
        call    multiply
        j       forever

# Primes below FLAGS, one byte each.
sieve:  li      t1, FLAGS
        add     t1, t1, s1
        mv      t0, s1
1:      sw      zero, 0(t0)
        addi    t0, t0, 4
        bltu    t0, t1, 1b
        li      t2, 2
2:      add     t3, s1, t2
        lbu     t4, 0(t3)
        bnez    t4, 4f
        add     t3, t3, t2
        li      t5, 1
3:      bgeu    t3, t1, 4f
        sb      t5, 0(t3)
        add     t3, t3, t2
        j       3b
4:      addi    t2, t2, 1
        li      t6, 128
        blt     t2, t6, 2b
        ret

# Adler-like sum over the sieve.
checksum:
        li      t1, FLAGS
        add     t1, t1, s1
        mv      t0, s1
        li      t2, 1
        li      t3, 0
1:      lw      t4, 0(t0)
        add     t2, t2, t4
        xor     t3, t3, t2
        slli    t5, t3, 1
        srli    t6, t3, 31
        or      t3, t5, t6
        addi    t0, t0, 4
        bltu    t0, t1, 1b
        add     a1, t2, t3
        ret

# Fibonacci by recursion: a0 -> a0.
fib:    li      t0, 2
        bltu    a0, t0, 1f
        addi    sp, sp, -16
        sw      ra, 12(sp)
        sw      s2, 8(sp)
        sw      a0, 4(sp)
        addi    a0, a0, -1
        call    fib
        mv      s2, a0
        lw      a0, 4(sp)
        addi    a0, a0, -2
        call    fib
        add     a0, a0, s2
        lw      s2, 8(sp)
        lw      ra, 12(sp)
        addi    sp, sp, 16
1:      ret

multiply:
        li      t0, 500
        li      t1, 12345
        li      t2, 1103515245
1:      mul     t1, t1, t2
        addi    t1, t1, 1013
        mulhu   t3, t1, t2
        remu    t4, t1, t0
        add     a2, a2, t4
        addi    t0, t0, -1
        bnez    t0, 1b
        ret
