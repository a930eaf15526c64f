; MMC3: 8 KiB of program at $8000 and at $A000, 2 and 1 KiB of patterns, and an interrupt every few lines,
; whose handler switches patterns in the middle of the picture.
WINDOW = $3f
LINES  = 19             ; between two interrupts

power:
  lda #LINES
  sta $c001
  lda #1
  sta $a000             ; horizontal mirroring
  rts

select:
  sei                   ; the handler below writes $8000, too
  sta chosen
  lda #6
  sta $8000
  lda chosen
  and #$0f
  sta $8001
  lda #7
  sta $8000
  lda chosen
  lsr
  lsr
  and #$0f
  sta $8001
  cli
  rts

vblank:
  lda #LINES
  sta $c000
  sta $e000
  sta $e001
  rts

irq:
  pha
  txa
  pha
  sta $e000             ; acknowledge
  sta $e001
  lda acc
  and #7
  cmp #6
  bcc patterns6         ; registers 0 to 5 are patterns
  lda #2
patterns6:
  sta $8000
  lda seed
  and #$1f
  sta $8001
  pla
  tax
  pla
  rti
