; NROM switches nothing.
WINDOW = $3f
power:
select:
vblank:
  rts
irq:
  rti
