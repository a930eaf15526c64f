/** Sizes of the machines here: RAM ends far below the windows. */
export const MIB = 1 << 20;
export const SIZES = { memory_size: 16 * MIB, vga_memory_size: 2 * MIB };
