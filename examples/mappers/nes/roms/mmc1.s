; MMC1: registers are loaded bit by bit.
WINDOW = $3f
power:
  lda #$80              ; forget what was loaded
  sta $8000
  lda #%00011110        ; 4 KiB of patterns at a time; 16 KiB of program at $8000; vertical mirroring
  sta $8000
  lsr
  sta $8000
  lsr
  sta $8000
  lsr
  sta $8000
  lsr
  sta $8000
  rts

select:
  sta chosen
  and #%00000111        ; program at $8000
  sta $e000
  lsr
  sta $e000
  lsr
  sta $e000
  lsr
  sta $e000
  lsr
  sta $e000
  lda chosen
  lsr
  lsr
  lsr
  and #%00001111        ; patterns at $0000
  sta $a000
  lsr
  sta $a000
  lsr
  sta $a000
  lsr
  sta $a000
  lsr
  sta $a000
  lda chosen
  and #%00001111        ; patterns at $1000
  sta $c000
  lsr
  sta $c000
  lsr
  sta $c000
  lsr
  sta $c000
  lsr
  sta $c000
vblank:
  rts
irq:
  rti
