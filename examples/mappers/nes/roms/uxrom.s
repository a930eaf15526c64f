; UxROM: any write to ROM selects the 16 KiB at $8000.
WINDOW = $3f
select:
  sta $8000
power:
vblank:
  rts
irq:
  rti
