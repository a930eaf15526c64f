/**
 * The machine's address map: devices where no slot is, RAM from 1 GiB on. The addresses of all RAM are positive in a
 * word of 32 bits, so that guests may load them with LUI and keep them in words.
 */
export const FINISHER = 0x10_0000;
/** A word per hart: 1 makes its software interrupt pending, as in ACLINT's SSWI device. */
export const SETSSIP = 0x200_0000;
export const UART = 0x1000_0000;
export const MAPPER = 0x3000_0000;
export const RAM = 0x4000_0000;

/** What guests are assembled with. */
export const GUEST_SYMBOLS: Readonly<Record<string, number>> = { FINISHER, SETSSIP, UART, MAPPER, RAM };
