/**
 * MMIO windows: ranges of guest memory beside the slots, of any alignment. A window belongs to a layout, as a slot
 * does: one commit publishes both, and a read section sees the windows of its layout. A slot hides the window under it,
 * except for writes that a READONLY slot refuses; a window with `over` covers slots instead.
 */

/** What all windows have. Addresses and sizes in bytes, of any alignment. */
interface AnyWindow {
  /** First guest address. */
  readonly gpa: number;
  /** Size, above 0. */
  readonly bytes: number;
  /**
   * Cover the slots under it, instead of being hidden by them. The rest of such a page stays its slot's in every
   * respect, and a write to host memory of this window counts as one to the page of the slot.
   */
  readonly over?: boolean | undefined;
}

/** Registers of a device. */
export interface DeviceWindow extends AnyWindow {
  /** Number of the device, below 2^32; the same in all threads. */
  readonly device: number;
  /** Byte of the device's registers at `gpa`; 0 if not given. */
  readonly offset?: number | undefined;
}

/** Host memory that no slot can map, because it is smaller than a page or not aligned to one. */
export interface HostWindow extends AnyWindow {
  /** Host address of the byte at `gpa`. */
  readonly hva: number;
  /** Refuse writes, as a READONLY slot does. */
  readonly readonly?: boolean | undefined;
  /** Tell dirty consumers which of its pages are written, as KVM_MEM_LOG_DIRTY_PAGES of a slot. */
  readonly log?: boolean | undefined;
}

/** Words of a stripe: byte 4 of a mirror with `{ unit: 4, ways: 2 }` is byte 8 of the original. */
export interface Stripe {
  /** Bytes of a unit, a power of two. */
  readonly unit: number;
  /** The mirror shows one of so many units; a power of two. */
  readonly ways: number;
}

/**
 * A mirror: byte i shows what the guest has at `mirrorOf + i % period`, be it memory or a device, with its dirty log
 * and its READONLY.
 */
export interface MirrorWindow extends AnyWindow {
  /** First guest address of the original. */
  readonly mirrorOf: number;
  /** Bytes after which the mirror repeats, below 2^32; `bytes` if not given. */
  readonly period?: number | undefined;
  /** Show one unit of each stripe of the original. All bytes if not given. */
  readonly stripe?: Stripe | undefined;
  /** Address space of the original; that of the window if not given. */
  readonly asId?: number | undefined;
  /** Refuse writes, whatever the original does. */
  readonly readonly?: boolean | undefined;
}

/** Nothing, where a slot has a page: it covers slots, as `over` does. */
export interface HoleWindow extends AnyWindow {
  /** Tells it from the others. */
  readonly hole: true;
}

/** A range beside or over the slots: registers of a device, host memory, a mirror, nothing. */
export type MmioWindow = DeviceWindow | HostWindow | MirrorWindow | HoleWindow;

/** One window that comes, or goes, or both: it moves, or is replaced. */
export interface WindowChange {
  /** Address space; 0 if not given. */
  readonly asId?: number | undefined;
  /** First guest address of the window that goes. */
  readonly remove?: number | undefined;
  /** The window that comes. */
  readonly add?: MmioWindow | undefined;
}

/** A byte of host memory. */
export interface HostByte {
  /** Host address. */
  readonly hva: number;
}

/** A byte of a device's registers. */
export interface DeviceByte {
  /** Number of the device, as in its window. */
  readonly device: number;
  /** Byte of its registers, from 0 on. */
  readonly offset: number;
}

/** The place of a guest byte: host memory, or a byte of a device's registers; undefined if the layout has neither. */
export type GuestBytePlace = HostByte | DeviceByte | undefined;
