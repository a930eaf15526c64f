/** guest_memfds, bindings by slot object, and the set of private frames: as naive as can be. */
import { ERRNO } from "../../src/kvm/errno.js";
import {
  KVM_MEMORY_ATTRIBUTE_NR,
  KVM_MEMORY_ATTRIBUTE_NW,
  KVM_MEMORY_ATTRIBUTE_NX,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
} from "../../src/kvm/uapi.js";
import type { Arguments } from "./arguments.js";
import type { Slot } from "./checks.js";

export interface PrivateByte {
  guestMemfd: number;
  offset: number;
}

interface Binding {
  descriptor: number;
  offset: bigint;
}

interface Range {
  start: bigint;
  end: bigint;
  attributes: bigint;
}

const KNOWN = BigInt(
  KVM_MEMORY_ATTRIBUTE_NR | KVM_MEMORY_ATTRIBUTE_NW | KVM_MEMORY_ATTRIBUTE_NX | KVM_MEMORY_ATTRIBUTE_PRIVATE,
);

const U64_END = 1n << 64n;
/** GUEST_MEMFD_FLAG_MMAP and GUEST_MEMFD_FLAG_INIT_SHARED. */
const MEMFD_FLAGS = 3n;
const MEMFD_BYTES_MAX = 1n << 53n;

export class ModelPrivateMemory {
  readonly #pageBytes: bigint;
  /** Size by descriptor. */
  readonly #memfds = new Map<number, bigint>();
  /** By the slot's own object: one that is deleted and made again is another. */
  readonly #bindings = new Map<Slot, Binding>();
  /** Disjoint, ascending, none beside another. */
  #attributes: Range[] = [];
  #lastLive: ReadonlySet<Slot> = new Set();

  constructor(pageBytes: number) {
    this.#pageBytes = BigInt(pageBytes);
  }

  /** Descriptor, or a negated errno. */
  create(size: bigint, flags: bigint): number {
    if (flags > MEMFD_FLAGS || size === 0n || size > MEMFD_BYTES_MAX || size % this.#pageBytes !== 0n)
      return -ERRNO.EINVAL;
    const named = [...this.#bindings.values()].map(({ descriptor }) => descriptor);
    const descriptor = Math.max(2, ...this.#memfds.keys(), ...named) + 1;
    this.#memfds.set(descriptor, size);
    return descriptor;
  }

  close(descriptor: number): boolean {
    return this.#memfds.delete(descriptor);
  }

  /** 0, or a negated errno. */
  checkBinding({ guestMemfd, guestMemfdOffset, size }: Arguments, live: ReadonlySet<Slot>): number {
    const bytes = this.#memfds.get(guestMemfd);
    this.#lastLive = live;
    if (bytes === undefined) return -ERRNO.EBADF;
    const end = guestMemfdOffset + size;
    if (end > bytes) return -ERRNO.EINVAL;
    for (const [slot, { descriptor, offset }] of this.#bindings) {
      if (!live.has(slot) || descriptor !== guestMemfd) continue;
      if (guestMemfdOffset < offset + slot.size && offset < end) return -ERRNO.EINVAL;
    }
    return 0;
  }

  bind(slot: Slot, { guestMemfd, guestMemfdOffset }: Arguments): void {
    for (const known of this.#bindings.keys()) if (!this.#lastLive.has(known)) this.#bindings.delete(known);
    this.#bindings.set(slot, { descriptor: guestMemfd, offset: guestMemfdOffset });
  }

  byteOf(slot: Slot, gpa: bigint): PrivateByte | undefined {
    const binding = this.#bindings.get(slot);
    if (binding === undefined || !this.#memfds.has(binding.descriptor)) return undefined;
    return { guestMemfd: binding.descriptor, offset: Number(binding.offset + gpa - slot.gpa) };
  }

  /** Whether something changed, or a negated errno. */
  setAttributes(address: bigint, size: bigint, attributes: bigint, flags: bigint): boolean | number {
    const unknown = attributes & ~KNOWN;
    const end = address + size;
    if (flags !== 0n || unknown !== 0n || size === 0n || end >= U64_END) return -ERRNO.EINVAL;
    if (address % this.#pageBytes !== 0n || size % this.#pageBytes !== 0n) return -ERRNO.EINVAL;
    const before = this.#attributes;
    const pieces = before.flatMap((range) => [
      { ...range, end: range.end < address ? range.end : address },
      { ...range, start: range.start > end ? range.start : end },
    ]);
    if (attributes !== 0n) pieces.push({ start: address, end, attributes });
    const kept = pieces.filter((range) => range.start < range.end);
    this.#attributes = joined(kept.sort((a, b) => (a.start < b.start ? -1 : 1)));
    const same = (range: Range, i: number) =>
      range.start === before[i]?.start &&
      range.end === before[i]?.end &&
      range.attributes === before[i]?.attributes;
    return !(this.#attributes.length === before.length && this.#attributes.every(same));
  }

  attributes(gpa: bigint): number {
    return Number(this.#attributes.find(({ start, end }) => start <= gpa && gpa < end)?.attributes ?? 0n);
  }
}

function joined(ascending: readonly Range[]): Range[] {
  const ranges: Range[] = [];
  for (const range of ascending) {
    const last = ranges.at(-1);
    if (last?.end === range.start && last.attributes === range.attributes) last.end = range.end;
    else ranges.push({ ...range });
  }
  return ranges;
}
