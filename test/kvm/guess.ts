/**
 * The map as a generator of random operations believes it to be, so that most of its operations meet a slot. It
 * knows the common rules only and may be wrong: KVM decides.
 */
import {
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_MAX_NR_PAGES,
  KVM_MEM_READONLY,
  TASK_SIZE_MAX,
} from "../../src/kvm/uapi.js";
import type { Random } from "../support/random.js";

/** A host address: `hva` counts from the start of the arena, `hva_abs` from 0. */
export interface Host {
  name: "hva" | "hva_abs";
  address: bigint;
}

/** The arguments of a set; gpa and size in bytes. */
export interface Region {
  slot: number;
  flags: number;
  gpa: bigint;
  size: bigint;
  host: Host;
}

export const PAGE_BYTES = 0x1000n;
/**
 * A region that KVM refuses for its size must not be believed: a slightly smaller one, drawn from it, might
 * be accepted and take gigabytes of kernel memory.
 */
const SIZE_MAX = BigInt(KVM_MEM_MAX_NR_PAGES) * PAGE_BYTES;
const KNOWN_FLAGS = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;

export class Guess {
  readonly #live = new Map<number, Region>();
  readonly #gpaEnd: bigint;

  constructor(physAddrBits: number) {
    this.#gpaEnd = 1n << BigInt(physAddrBits);
  }

  get slots(): readonly Region[] {
    return [...this.#live.values()];
  }

  has(slot: number): boolean {
    return this.#live.has(slot);
  }

  /** One of the live slots, and rather one of `ids`. */
  pick(random: Random, ids: readonly number[]): Region | undefined {
    const preferred = this.#live.get(random.pick(ids));
    return preferred ?? (this.#live.size > 0 ? random.pick(this.slots) : undefined);
  }

  pickLogging(random: Random): Region | undefined {
    const logging = this.slots.filter(({ flags }) => flags & KVM_MEM_LOG_DIRTY_PAGES);
    return logging.length > 0 ? random.pick(logging) : undefined;
  }

  overlaps({ slot, gpa, size }: Region): boolean {
    return this.slots.some(
      (other) => other.slot !== slot && gpa < other.gpa + other.size && other.gpa < gpa + size,
    );
  }

  apply(region: Region): void {
    if (!wellFormed(region)) return;
    if (region.size === 0n) this.#live.delete(region.slot);
    else if (this.#accepts(region)) this.#live.set(region.slot, region);
  }

  #accepts(region: Region): boolean {
    const old = this.#live.get(region.slot);
    if (old !== undefined && !sameBacking(old, region)) return false;
    const fits = region.size <= SIZE_MAX && region.gpa + region.size <= this.#gpaEnd;
    return fits && !this.overlaps(region);
  }
}

function wellFormed({ flags, gpa, size, host }: Region): boolean {
  if ((flags & ~KNOWN_FLAGS) !== 0 || (gpa | size | host.address) % PAGE_BYTES !== 0n) return false;
  return host.name === "hva" || host.address + size <= BigInt(TASK_SIZE_MAX);
}

function sameBacking(old: Region, region: Region): boolean {
  return (
    old.size === region.size &&
    old.host.name === region.host.name &&
    old.host.address === region.host.address &&
    ((old.flags ^ region.flags) & KVM_MEM_READONLY) === 0
  );
}
