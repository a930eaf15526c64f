; CNROM: any write to ROM selects the 8 KiB of patterns.
WINDOW = $3f
select:
  and #3
  sta $8000
power:
vblank:
  rts
irq:
  rti
