@ The test program of the RP2040: every peripheral, all widths, DMA, interrupts, code in SRAM. All that it reads
@ goes into one checksum, which it prints. Ends with bkpt 0. Assembled into program.hex by program.ts.

        .syntax unified
        .cpu    cortex-m0plus
        .thumb

        .equ    STACK, 0x20042000
        .equ    BUFFER, 0x20000000      @ 128 halfwords
        .equ    COPIED, 0x20001000      @ by DMA
        .equ    TICKS, 0x20002000       @ alarms so far
        .equ    IN_SRAM, 0x20003000     @ a function

        .equ    UART0, 0x40034000
        .equ    TIMER, 0x40054000
        .equ    WATCHDOG, 0x40058000
        .equ    RESETS, 0x4000c000
        .equ    DMA, 0x50000000
        .equ    DPRAM, 0x50100000
        .equ    SIO, 0xd0000000
        .equ    PPB, 0xe000e000
        .equ    ALIAS_XOR, 0x1000
        .equ    ALIAS_SET, 0x2000
        .equ    ALIAS_CLEAR, 0x3000

        .equ    HALFWORDS, 128
        .equ    ALARMS, 10

vectors:
        .word   STACK
        .word   reset + 1
        .rept   14
        .word   reset + 1
        .endr
        .word   alarm + 1               @ TIMER_0
        .rept   25
        .word   reset + 1
        .endr

@ r7 is the checksum throughout.

        .thumb_func
reset:
        movs    r7, #1
        ldr     r0, =PPB + 0xd08        @ VTOR
        ldr     r1, =vectors
        str     r1, [r0]
        ldr     r0, =UART0 + 0x30       @ UARTCR: enable, send, receive
        ldr     r1, =0x301
        str     r1, [r0]
        ldr     r0, =greeting
        bl      print
        bl      probe
        bl      registers
        bl      sort
        bl      alarms
        bl      dma
        bl      from_sram
        bl      print_checksum
        ldr     r0, =farewell
        bl      print
        bkpt    #0
        b       .
        .ltorg

@ Checksum over r0; spoils r1.
mix:
        ldr     r1, =0x01000193
        eors    r7, r0
        muls    r7, r1
        bx      lr

@ Print the characters from r0 to a 0.
print:
        push    {r4, lr}
        ldr     r2, =UART0
1:      ldrb    r1, [r0]
        cmp     r1, #0
        beq     2f
        bl      putchar
        adds    r0, #1
        b       1b
2:      pop     {r4, pc}

@ r1 to the UART at r2, when its FIFO has room; spoils r3, r4.
putchar:
        movs    r4, #0x20               @ UARTFR.TXFF
1:      ldr     r3, [r2, #0x18]
        tst     r3, r4
        bne     1b
        str     r1, [r2]
        bx      lr

print_checksum:
        push    {r4, r5, lr}
        ldr     r2, =UART0
        ldr     r0, =digits
        movs    r5, #8
1:      lsrs    r1, r7, #28
        ldrb    r1, [r0, r1]
        bl      putchar
        lsls    r7, r7, #4
        subs    r5, #1
        bne     1b
        pop     {r4, r5, pc}
        .ltorg

@ Read a word, both halfwords and all bytes at each address of the table.
probe:
        push    {r4, r5, lr}
        ldr     r4, =probed
1:      ldr     r5, [r4]
        adds    r0, r5, #1
        beq     2f
        ldr     r0, [r5]
        bl      mix
        ldrh    r0, [r5]
        bl      mix
        ldrh    r0, [r5, #2]
        bl      mix
        ldrb    r0, [r5]
        bl      mix
        ldrb    r0, [r5, #1]
        bl      mix
        ldrb    r0, [r5, #2]
        bl      mix
        ldrb    r0, [r5, #3]
        bl      mix
        adds    r4, #4
        b       1b
2:      pop     {r4, r5, pc}

@ Apply the table of writes: width, address, value; then read the word back.
registers:
        push    {r4, r5, lr}
        ldr     r4, =written
1:      ldr     r2, [r4]
        ldr     r5, [r4, #4]
        ldr     r3, [r4, #8]
        adds    r4, #12
        cmp     r2, #0
        beq     5f
        cmp     r2, #1
        beq     2f
        cmp     r2, #2
        beq     3f
        str     r3, [r5]
        b       4f
2:      strb    r3, [r5]
        b       4f
3:      strh    r3, [r5]
4:      movs    r0, #3
        bics    r5, r0
        ldr     r0, [r5]
        bl      mix
        b       1b
5:      pop     {r4, r5, pc}
        .ltorg

@ Fill the buffer with noise and sort it, by halfwords; then the checksum of it, by words and bytes.
sort:
        push    {r4, r5, r6, lr}
        ldr     r4, =BUFFER
        ldr     r0, =0x2545
        ldr     r1, =0x6255
        movs    r2, #0
1:      muls    r0, r1
        adds    r0, #77
        strh    r0, [r4, r2]
        adds    r2, #2
        cmp     r2, #2 * HALFWORDS - 2
        bls     1b
        movs    r5, #HALFWORDS - 1
2:      movs    r2, #0
3:      adds    r6, r4, r2
        ldrh    r0, [r6]
        ldrh    r1, [r6, #2]
        cmp     r0, r1
        bls     4f
        strh    r1, [r6]
        strh    r0, [r6, #2]
4:      adds    r2, #2
        lsls    r3, r5, #1
        cmp     r2, r3
        blo     3b
        subs    r5, #1
        bne     2b
        movs    r5, #0
5:      ldr     r0, [r4, r5]
        bl      mix
        ldrb    r0, [r4, r5]
        bl      mix
        ldrsh   r0, [r4, r5]
        bl      mix
        adds    r5, #4
        cmp     r5, #2 * HALFWORDS - 4
        bls     5b
        pop     {r4, r5, r6, pc}
        .ltorg

@ Sleep until the timer has rung often enough.
alarms:
        push    {r4, r5, lr}
        ldr     r4, =TICKS
        movs    r0, #0
        str     r0, [r4]
        ldr     r2, =TIMER
        movs    r0, #1
        str     r0, [r2, #0x38]         @ INTE
        ldr     r1, =PPB + 0x100        @ NVIC_ISER
        str     r0, [r1]
        ldr     r0, [r2, #0x28]         @ TIMERAWL
        adds    r0, #50
        str     r0, [r2, #0x10]         @ ALARM0
1:      wfi
        ldr     r0, [r4]
        cmp     r0, #ALARMS
        blo     1b
        ldr     r0, [r2, #0x28]
        bl      mix
        pop     {r4, r5, pc}

@ The timer has rung: count, and set it again.
        .thumb_func
alarm:
        ldr     r0, =TIMER
        movs    r1, #1
        str     r1, [r0, #0x34]         @ INTR
        ldr     r1, [r0, #0x28]
        adds    r1, #50
        str     r1, [r0, #0x10]
        ldr     r0, =TICKS
        ldr     r1, [r0]
        adds    r1, #1
        str     r1, [r0]
        bx      lr
        .ltorg

@ 64 words from the flash's third mirror to SRAM, and a line from SRAM's copy of it to the UART.
dma:
        push    {r4, lr}
        ldr     r2, =DMA
        ldr     r0, =line + 0x03000000
        ldr     r1, =COPIED
        movs    r3, #64
        str     r0, [r2]
        str     r1, [r2, #4]
        str     r3, [r2, #8]
        ldr     r0, =0x003f8039         @ permanent, both addresses go on, words, enable
        bl      transfer
        ldr     r0, =COPIED
        ldr     r1, =UART0
        movs    r3, #line_end - line
        str     r0, [r2]
        str     r1, [r2, #4]
        str     r3, [r2, #8]
        ldr     r0, =0x003f8011         @ permanent, the source goes on, bytes, enable
        bl      transfer
        ldr     r4, =COPIED
        movs    r5, #0
1:      ldr     r0, [r4, r5]
        bl      mix
        adds    r5, #4
        cmp     r5, #252
        bls     1b
        pop     {r4, pc}

@ Start channel 0 of the DMA at r2 with control word r0, and wait for it; spoils r0, r1, r3.
transfer:
        str     r0, [r2, #0xc]
        ldr     r3, =1 << 24            @ BUSY
1:      ldr     r0, [r2, #0xc]
        tst     r0, r3
        bne     1b
        ldr     r1, =DMA + 0x400        @ INTR
        movs    r0, #1
        str     r0, [r1]
        bx      lr

@ Copy a function to SRAM and call it there.
from_sram:
        push    {r4, lr}
        ldr     r0, =moved
        ldr     r1, =IN_SRAM
        movs    r2, #moved_end - moved
1:      subs    r2, #2
        ldrh    r3, [r0, r2]
        strh    r3, [r1, r2]
        bne     1b
        adds    r1, #1
        blx     r1
        bl      mix
        pop     {r4, pc}
        .ltorg

        .balign 4
@ Divide in SIO's divider, 200 times.
moved:
        ldr     r0, 3f
        movs    r1, #200
        ldr     r2, 4f
1:      str     r2, [r0, #0x60]         @ DIV_UDIVIDEND
        adds    r3, r1, #6
        str     r3, [r0, #0x64]         @ DIV_UDIVISOR
        ldr     r3, [r0, #0x70]         @ DIV_QUOTIENT
        eors    r2, r3
        ldr     r3, [r0, #0x74]         @ DIV_REMAINDER
        adds    r2, r3
        subs    r1, #1
        bne     1b
        movs    r0, r2
        bx      lr
        .balign 4
3:      .word   SIO
4:      .word   0x89abcdef
moved_end:

        .balign 4
probed:
        .word   0x00000000, 0x00000004, 0x00003ffc                      @ boot ROM
        .word   0x10000000, 0x11000040, 0x12000044, 0x13000048          @ flash and its mirrors
        .word   0x10fffffc, 0x13fffffc
        .word   0x18000000, 0x18000028, 0x18000058                      @ SSI
        .word   0x20000000, 0x20041ffc                                  @ SRAM
        .word   0x40000000, 0x40000040, 0x40004000, 0x40008030, 0x4000c008, 0x40010000
        .word   0x40014004, 0x40018000, 0x4001c004, 0x40020004, 0x40024004, 0x40028000
        .word   0x4002c000, 0x40030000, 0x40034018, 0x40034fe0, 0x40038018, 0x4003c00c
        .word   0x4004000c, 0x40044000, 0x40048000, 0x4004c000, 0x40050004, 0x40054028
        .word   0x40058008, 0x4005c00c, 0x40060000, 0x40064000, 0x4006c000
        .word   0x50000000, 0x50100000, 0x50110000, 0x50200000, 0x50300000
        .word   0xd0000000, 0xd0000004, 0xd0000078, 0xd0000080
        .word   0xe000ed00, 0xe000ed08, 0xe000e010
        .word   0x00004000, 0x0ffffffc, 0x14000000, 0x20042000, 0x40068000, 0x50101000   @ nothing is there
        .word   0x60000000, 0xe0000000, 0xe000f000
        .word   -1

written:
        .word   4, RESETS, 0x00ffffff
        .word   4, RESETS + ALIAS_CLEAR, 0x0000ff00
        .word   4, RESETS + ALIAS_SET, 0x00000f00
        .word   4, RESETS + ALIAS_XOR, 0x00f0000f
        .word   4, WATCHDOG + 0x0c, 0x12345678
        .word   2, WATCHDOG + 0x10, 0x9abc
        .word   2, WATCHDOG + 0x12, 0xdef0
        .word   1, WATCHDOG + 0x14, 0x5a
        .word   1, WATCHDOG + 0x17, 0xa5
        .word   1, WATCHDOG + 0x0c + ALIAS_XOR, 0xff
        .word   4, SIO + 0x10, 0x01234567                               @ GPIO_OUT
        .word   2, SIO + 0x10, 0x89ab
        .word   1, SIO + 0x13, 0x3f
        .word   4, SIO + 0x1c, 0x00ff00ff
        .word   4, SIO + 0x80, 0x00010001                               @ interpolator
        .word   4, SIO + 0x88, 0x00000123
        .word   4, PPB + 0x014, 0x00001234                              @ SysTick
        .word   1, PPB + 0x400, 0x40
        .word   2, PPB + 0x402, 0x80c0
        .word   4, DPRAM + 0x100, 0xcafef00d
        .word   2, DPRAM + 0x102, 0xbeef
        .word   1, DPRAM + 0x101, 0x77
        .word   4, DPRAM + 0x080, 0x00000408                            @ endpoint 0: 8 bytes may be sent
        .word   4, 0x10800000, 0x600dcafe                               @ flash, as rp2040js has it
        .word   2, 0x10800002, 0x1234
        .word   1, 0x10800001, 0x56
        .word   4, 0x11800000, 0x0bad0bad                               @ its mirrors refuse
        .word   2, 0x12800000, 0x0bad
        .word   1, 0x13800003, 0x0b
        .word   4, 0x00002000, 0x11112222                               @ boot ROM, as rp2040js has it
        .word   2, 0x00002000, 0x3333
        .word   4, 0x2003fffc, 0x44445555
        .word   4, 0x20042000, 0x66667777                               @ nothing is there
        .word   2, 0x40068000, 0x8888
        .word   1, 0x60000000, 0x99
        .word   0, 0, 0

greeting:
        .asciz  "memory map of an RP2040\n"
farewell:
        .asciz  "\n"
digits:
        .ascii  "0123456789abcdef"
        .balign 4
line:
        .ascii  "from flash by DMA, from SRAM by DMA\n"
line_end:
        .balign 4
        .ltorg
        .balign 4
        .space  256, 0x5a
