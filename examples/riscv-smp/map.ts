/**
 * The machine's address map, after QEMU's `virt` board: devices where no slot is, RAM from 2 GiB on.
 */
export const FINISHER = 0x10_0000;
export const CLINT = 0x200_0000;
export const CLINT_BYTES = 0x1_0000;
export const UART = 0x1000_0000;
export const MAPPER = 0x3000_0000;
export const RAM = 0x8000_0000;

/** Registers of the CLINT: one word per hart, a double word per hart, a double word. */
export const MSIP = 0;
export const MTIMECMP = 0x4000;
export const MTIME = 0xbff8;

/** Ticks of mtime in a millisecond. */
export const TICKS_PER_MS = 1000;

/** What guests are assembled with. */
export const GUEST_SYMBOLS: Readonly<Record<string, number>> = {
  FINISHER,
  CLINT,
  UART,
  MAPPER,
  RAM,
  MSIP: CLINT + MSIP,
  MTIMECMP: CLINT + MTIMECMP,
  MTIME: CLINT + MTIME,
};
