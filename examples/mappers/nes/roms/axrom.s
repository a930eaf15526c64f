; AxROM: any write to ROM selects the 32 KiB at $8000, and by bit 4 the nametable.
WINDOW = $3f
power:
  lda #0
select:
  and #%00010111
  sta $8000
vblank:
  rts
irq:
  rti
