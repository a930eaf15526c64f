/**
 * The machine's address map, after QEMU's `virt` board: devices where no slot is, RAM from 2 GiB on.
 */
export const PLIC = 0xc00_0000;
export const PLIC_BYTES = 0x60_0000;
export const UART = 0x1000_0000;
export const UART_BYTES = 0x100;
export const RAM = 0x8000_0000;
/** Where the kernel begins in RAM: its image says so, and this is what all of them say. */
export const KERNEL_OFFSET = 0x20_0000;

/** Source of the UART's interrupt. */
export const UART_IRQ = 10;

/** Ticks of the CSR `time` in a millisecond. */
export const TICKS_PER_MS = 10_000;
