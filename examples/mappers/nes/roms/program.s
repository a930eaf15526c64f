; Every board's program, in the upper 16 KiB. Its main loop has the board switch banks as often as the CPU
; can, runs code in the bank and reads data from it; what comes out is drawn. A wrong bank, at any moment,
; changes all that follows.
;
; The board supplies: power (set up), select (switch, by the random number in A), vblank (each frame), irq;
; WINDOW = high byte mask of the switched window.

PPUCTRL   = $2000
PPUMASK   = $2001
PPUSTATUS = $2002
PPUSCROLL = $2005
PPUADDR   = $2006
PPUDATA   = $2007
OAMDMA    = $4014
FRAMEIRQ  = $4017

seed    = $10           ; two bytes
acc     = $12           ; what all reads have come to
at      = $13           ; where in the buffer the next byte goes
target  = $14           ; nametable address of the buffer
pointer = $16
frames  = $18           ; interrupts so far
chosen  = $19           ; for the boards
buffer  = $0300         ; 64 bytes a frame; also the sprites

reset:
  sei
  cld
  ldx #$ff
  txs
  inx
  stx PPUCTRL
  stx PPUMASK
  lda #$40              ; no interrupts by the sound chip
  sta FRAMEIRQ
  stx acc
  stx at
  stx target
  stx frames
  lda #$20
  sta target+1
  lda #$5a
  sta seed
  lda #$c3
  sta seed+1
clear:
  txa
  sta buffer,x
  inx
  bne clear
  jsr power
warm1:
  bit PPUSTATUS
  bpl warm1
warm2:
  bit PPUSTATUS
  bpl warm2

  lda #$3f              ; 32 colours
  sta PPUADDR
  lda #$00
  sta PPUADDR
  ldx #32
palette:
  jsr random
  sta PPUDATA
  dex
  bne palette

  lda #$00              ; patterns, 8 KiB out of as many banks; boards with CHR ROM ignore them
  sta PPUADDR
  sta PPUADDR
  sta pointer
  ldx #32
patterns:
  jsr random
  jsr select
  txa
  and #WINDOW
  ora #$80
  sta pointer+1
  ldy #0
pattern:
  lda (pointer),y
  sta PPUDATA
  iny
  bne pattern
  dex
  bne patterns

  lda #%10001000        ; interrupt each frame, sprites from the second table
  sta PPUCTRL
  lda #%00011110        ; background and sprites
  sta PPUMASK
  cli

main:
  jsr random
  jsr select
  lda seed
  sta pointer
  lda seed+1
  and #WINDOW
  ora #$80
  sta pointer+1
  ldy acc
  lda (pointer),y
  clc
  adc acc
  tay
  eor (pointer),y
  jsr $8000             ; the bank's own code makes something of A
  sta acc
  ldx at
  sta buffer,x
  inx
  txa
  and #63
  sta at
  jmp main

; A = seed+1 = a new random number
random:
  lda seed
  asl
  asl
  clc
  adc seed
  clc
  adc #1                ; seed = 5 seed + 1
  sta seed
  eor frames
  clc
  adc seed+1
  sta seed+1
  rts

nmi:
  pha
  txa
  pha
  tya
  pha
  inc frames
  lda #>buffer
  sta OAMDMA
  lda target+1
  sta PPUADDR
  lda target
  sta PPUADDR
  ldx #0
draw:
  lda buffer,x
  sta PPUDATA
  inx
  cpx #64
  bne draw
  lda target
  clc
  adc #64
  sta target
  lda target+1
  adc #0
  and #%00000011
  ora #$20
  sta target+1
  lda #$3f              ; and one colour
  sta PPUADDR
  lda acc
  and #$1f
  sta PPUADDR
  lda buffer
  sta PPUDATA
  lda #0
  sta PPUSCROLL
  sta PPUSCROLL
  lda #%10001000
  sta PPUCTRL
  jsr vblank
  pla
  tay
  pla
  tax
  pla
  rti

.org $fffa
.word nmi, reset, irq
