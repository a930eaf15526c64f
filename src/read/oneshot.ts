/** One-shot lookups: each is a read section by itself, on the reader line of this thread. */
import type { Thread } from "../core/thread.js";
import { toGpa } from "../kvm/arguments.js";
import { HVA_BAD, HVA_MMIO } from "../kvm/uapi.js";
import type { GuestBytePlace } from "../kvm/window.js";

/** A byte of private memory. */
export interface PrivateByte {
  /** Descriptor of the guest_memfd. */
  readonly guestMemfd: number;
  /** Byte of that file, from 0 on. */
  readonly offset: number;
}

/** @throws as MemslotEngine.locate */
export function locate(thread: Thread, gpa: number, write: boolean, asId: number): GuestBytePlace {
  const { wasm } = thread;
  const reader = thread.reader(asId);
  const hva = wasm.resolve(reader, toGpa(gpa), write ? 1 : 0);
  if (hva >= 0) return { hva };
  if (hva !== HVA_MMIO) return undefined;
  return { device: wasm.deviceOf(reader) >>> 0, offset: wasm.deviceOffsetOf(reader) };
}

/** @throws as MemslotEngine.resolvePrivate */
export function locatePrivate(thread: Thread, gpa: number, asId: number): PrivateByte | undefined {
  const { wasm } = thread;
  const reader = thread.reader(asId);
  const offset = wasm.resolvePrivate(reader, toGpa(gpa));
  return offset === HVA_BAD ? undefined : { guestMemfd: wasm.deviceOf(reader) >>> 0, offset };
}
