; GxROM: one write selects both the 32 KiB at $8000 and the 8 KiB of patterns.
WINDOW = $3f
power:
  lda #0
select:
  and #%00110011
  sta $8000
vblank:
  rts
irq:
  rti
