# UART, timer and software interrupts: hart 0 prints, waits for ten ticks of its timer, and wakes the others, which
# wait for an interrupt each; each wakes hart 0 in turn. A hart that is alone wakes itself.
        .equ    HARTS_MAX, 4
        .equ    PERIOD, 2000                    # ticks of time
        .equ    STI, 5
        .equ    SSI, 1

_start: mv      s0, a0
        la      t0, handler
        csrw    stvec, t0
        la      t0, saved
        slli    t1, s0, 5
        add     t0, t0, t1
        csrw    sscratch, t0
        la      s1, ticks
        li      t0, 2                           # sie.SSIE
        csrw    sie, t0
        csrsi   sstatus, 2                      # sstatus.SIE
        bnez    s0, secondary

        la      a0, hello
        call    print
        call    arm
        li      t0, 0x22                        # sie.SSIE, sie.STIE
        csrw    sie, t0
        li      t1, 10
1:      wfi
        lw      t0, 0(s1)
        blt     t0, t1, 1b
        li      t0, 2
        csrw    sie, t0
        la      t0, harts                       # wake the others
        lw      s2, 0(t0)
        li      s3, 1
2:      bge     s3, s2, 3f
        li      t0, SETSSIP
        slli    t1, s3, 2
        add     t0, t0, t1
        li      t1, 1
        sw      t1, 0(t0)
        addi    s3, s3, 1
        j       2b
3:      li      t0, 1
        bne     s2, t0, 4f
        li      t1, SETSSIP
        sw      t0, 0(t1)
4:      la      s4, awake                       # until each has been, and this one
        la      s5, woken
5:      lw      t0, 0(s4)
        addi    t0, t0, 1
        blt     t0, s2, 6f
        lw      t0, 0(s5)
        bnez    t0, 7f
6:      wfi
        j       5b
7:      la      a0, bye
        call    print
        j       pass

secondary:
1:      la      t0, woken
        slli    t1, s0, 2
        add     t0, t0, t1
        lw      t0, 0(t0)
        bnez    t0, 2f
        wfi
        j       1b
2:      la      t0, awake
        li      t1, 1
        amoadd.w zero, t1, (t0)
        li      t0, SETSSIP                        # of hart 0
        sw      t1, 0(t0)
pass:   li      t0, 0x5555
end:    li      t1, FINISHER
        sw      t0, 0(t1)
wrong:  li      t0, 0x13333
        j       end

# The next tick in PERIOD.
arm:    csrr    t0, time
        addi    t0, t0, PERIOD
        csrw    stimecmp, t0
        ret

handler:
        csrrw   t6, sscratch, t6                # this hart's save area
        sw      t0, 0(t6)
        sw      t1, 4(t6)
        sw      t2, 8(t6)
        sw      t3, 12(t6)
        sw      t4, 16(t6)
        sw      t5, 20(t6)
        sw      ra, 24(t6)
        csrr    t0, scause                      # of an interrupt, which is negative
        bgez    t0, wrong
        andi    t0, t0, 63
        li      t1, STI
        beq     t0, t1, timer
        li      t1, SSI
        bne     t0, t1, wrong
        csrci   sip, 2                          # sip.SSIP
        slli    t1, s0, 2
        la      t0, woken
        add     t0, t0, t1
        li      t1, 1
        sw      t1, 0(t0)
        j       back
timer:  lw      t0, 0(s1)
        addi    t0, t0, 1
        sw      t0, 0(s1)
        call    arm
back:   lw      t0, 0(t6)
        lw      t1, 4(t6)
        lw      t2, 8(t6)
        lw      t3, 12(t6)
        lw      t4, 16(t6)
        lw      t5, 20(t6)
        lw      ra, 24(t6)
        csrrw   t6, sscratch, t6
        sret

# Print the text at a0.
print:  li      t0, UART
1:      lbu     t1, 0(a0)
        beqz    t1, 2f
        lbu     t2, 5(t0)                       # line status: transmitter empty
        andi    t2, t2, 0x20
        beqz    t2, 1b
        sb      t1, 0(t0)
        addi    a0, a0, 1
        j       1b
2:      ret

hello:  .asciz  "hello from hart 0\n"
bye:    .asciz  "all harts were awake\n"
        .align  6
harts:  .word   2                               # written by the host
awake:  .word   0
ticks:  .word   0
        .align  6
saved:  .space  128
woken:  .space  16
