; The head of every bank: code that gives each bank's own answer, at any address it is mapped to.
  eor #KEY
  clc
  adc #BANK
  bcc even
  eor #$ff
even:
  rts
