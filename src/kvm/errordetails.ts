/** Plain data that a KvmError carries beyond its error number. */

/** The final log of a slot that a list deleted or replaced: the pages that were dirty when its last reader left. */
export interface EndedLog {
  /** Slot number, address space << 16 | id. */
  readonly slot: number;
  /** First guest address of the slot, in bytes. */
  readonly guestPhysAddr: number;
  /** Its size in bytes. */
  readonly memorySize: number;
  /** ALIGN(npages, 64) / 8 bytes, bit i of byte b is page 8 b + i of the slot. */
  readonly bitmap: Uint8Array;
}

/**
 * Reason why an access was not done. `no-slot`: nothing maps the address. `device`: a device's window maps it.
 * `read-only`: a write to a READONLY slot. `no-host`: the host address is in none of the host ranges. `no-access`:
 * a KVM_MEMORY_ATTRIBUTE forbids it. `crosses`: a part of the access is one of these and another part is none of them;
 * no byte was accessed.
 */
export type GuestHoleKind = "no-slot" | "device" | "read-only" | "no-host" | "no-access" | "crosses";

/** An access that met no memory, for an emulator's MMIO exit. The object is reused for every hole. */
export interface GuestHole {
  /** Reason why the access was not done. */
  kind: GuestHoleKind;
  /** First byte of the access; of a block, its first byte that was not transferred. */
  gpa: number;
  /** Bytes of the access; of a block, those that were not transferred. */
  bytes: number;
  /** First byte that is no memory: `gpa`, unless the access crosses into the hole. */
  at: number;
  /** True for a store, false for a load. */
  write: boolean;
  /** Number of the device whose window holds `at`; 0 if none does. */
  device: number;
  /** Byte of that device's registers; 0 if there is none. */
  offset: number;
  /** The value of a typed store, of a float its bits; else 0. */
  value: number | bigint;
}

/** The optional fields of a KvmError. */
export interface KvmErrorDetails {
  /** Index of the refused entry in the list, from 0 on. */
  readonly index?: number | undefined;
  /** True when the new layout is in force although the call failed (ETIMEDOUT of a grace period). */
  readonly published?: boolean | undefined;
  /** With `published` and the option `takeDirty`: the ended logs so far; readers of the old layout may add to them. */
  readonly dirty?: readonly EndedLog[] | undefined;
  /** The hole that an access to guest memory met (EFAULT). */
  readonly hole?: Readonly<GuestHole> | undefined;
  /** Replaces the general meaning of the error number in the message. */
  readonly reason?: string | undefined;
}
