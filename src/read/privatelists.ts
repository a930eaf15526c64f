/** What there is of private memory, as lists: guest_memfds, and attributes of guest memory. */
import { TABLE_ATTRIBUTES, TABLE_MEMFDS } from "../core/layout.js";
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import type { MemoryAttributes } from "../kvm/uapi.js";
import { inSection } from "./snapshot.js";
import { type TableEntry, tableEntries } from "./tables.js";

/** A file for private memory. */
export interface GuestMemfd {
  /** Descriptor, from `engine.createGuestMemfd`. */
  readonly guestMemfd: number;
  /** Bytes. */
  readonly size: number;
}

/** The guest_memfds that are open, ascending by descriptor, from one layout. @throws TypeError */
export function memfdsOf(engine: Engine): GuestMemfd[] {
  return memfdsIn(threadOf(engine));
}

export function memfdsIn(thread: Thread): GuestMemfd[] {
  return entriesOf(thread, TABLE_MEMFDS).map(({ device, target }) => ({
    guestMemfd: device,
    size: Number(target),
  }));
}

/**
 * The guest memory that has attributes, ascending, from one layout. An address of 2^53 or above is a bigint.
 * @throws TypeError
 */
export function attributesOf(engine: Engine): MemoryAttributes[] {
  return attributesIn(threadOf(engine));
}

export function attributesIn(thread: Thread): MemoryAttributes[] {
  return entriesOf(thread, TABLE_ATTRIBUTES).map(({ start, end, target }) => ({
    address: numberOf(start),
    size: numberOf(end - start),
    attributes: Number(target),
  }));
}

function numberOf(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function entriesOf(thread: Thread, index: number): TableEntry[] {
  const reader = thread.reader(0);
  return inSection(thread, reader, () => tableEntries(thread, reader, index));
}
