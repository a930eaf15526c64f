/**
 * The reach of a map: the guest-physical addresses whose accesses leave v86's wasm. v86 handles the others inside of
 * it: RAM, apart from the VGA window; the linear frame buffer; the interrupt controllers. Mirrors v86's create_memory,
 * in_mapped_range, in_svga_lfb and mmap_read32.
 */
const BLOCK_BYTES = 0x20000;
const RAM_BYTES_DEFAULT = 64 << 20;
const RAM_BYTES_MIN = 1 << 20;
const RAM_BYTES_MIN_INITRD = 64 << 20;
const RAM_BYTES_MAX = 2 ** 31 - BLOCK_BYTES;
const VGA_BYTES_DEFAULT = 8 << 20;
const VGA_BYTES_MIN = 0x40000;
const VGA_BYTES_MAX = 0x10000000;
const VGA_WINDOW = { start: 0xa0000, end: 0xc0000 };
const LFB = 0xe000_0000;
const IOAPIC = 0xfec0_0000;
const LAPIC = 0xfee0_0000;
const CONTROLLER_BYTES = 0x1000;

/** The options of v86 that size its RAM and frame buffer; a part of its V86Options. */
export interface V86MemoryOptions {
  /** Bytes of RAM. */
  memory_size?: number | undefined;
  /** Bytes of the frame buffer. */
  vga_memory_size?: number | undefined;
  /** An initial RAM disk: with one the RAM has a larger minimum. */
  initrd?: unknown;
}

/** Guest addresses [start, end) that v86 handles itself; `what` names them. */
export interface OwnRange {
  readonly start: number;
  readonly end: number;
  readonly what: string;
}

/** The ranges that v86 handles inside its wasm, ascending. */
export function ownRanges(options: V86MemoryOptions): OwnRange[] {
  const lfb = lfbBytes(options);
  return [
    { start: 0, end: VGA_WINDOW.start, what: "v86's RAM" },
    { start: VGA_WINDOW.end, end: ramBytes(options), what: "v86's RAM" },
    { start: LFB, end: LFB + lfb, what: "v86's linear frame buffer" },
    { start: IOAPIC, end: IOAPIC + CONTROLLER_BYTES, what: "v86's I/O APIC" },
    { start: LAPIC, end: LAPIC + CONTROLLER_BYTES, what: "v86's local APIC" },
  ];
}

/**
 * Check that guest bytes [gpa, gpa + bytes) are in reach. @throws RangeError naming `name` and the range that they meet
 */
export function requireReach(own: readonly OwnRange[], gpa: number, bytes: number, name: string): void {
  const met = own.find(({ start, end }) => gpa < end && gpa + bytes > start);
  if (met === undefined) return;
  const range = `[0x${gpa.toString(16)}, 0x${(gpa + bytes).toString(16)})`;
  const there = `${met.what} at [0x${met.start.toString(16)}, 0x${met.end.toString(16)})`;
  throw new RangeError(`${name} ${range} meets ${there}, which is answered inside its wasm`);
}

/** Bytes of RAM that v86 makes for these options. */
export function ramBytes({ memory_size, initrd }: V86MemoryOptions): number {
  const asked = memory_size || RAM_BYTES_DEFAULT;
  const min = initrd ? RAM_BYTES_MIN_INITRD : RAM_BYTES_MIN;
  if (asked < min) return min;
  return Math.min(Math.ceil(asked / BLOCK_BYTES) * BLOCK_BYTES, RAM_BYTES_MAX);
}

/** Bytes of its linear frame buffer. */
function lfbBytes({ vga_memory_size }: V86MemoryOptions): number {
  const asked = Math.max(vga_memory_size || VGA_BYTES_DEFAULT, VGA_BYTES_MIN);
  return Math.min(2 ** Math.ceil(Math.log2(asked)), VGA_BYTES_MAX);
}
