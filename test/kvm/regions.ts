/** Random regions for KVM_SET_USER_MEMORY_REGION: of every kind of change, and of every kind of refusal. */
import {
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_MAX_NR_PAGES,
  KVM_MEM_READONLY,
  TASK_SIZE_MAX,
} from "../../src/kvm/uapi.js";
import type { Random } from "../support/random.js";
import { type Guess, type Host, PAGE_BYTES, type Region } from "./guess.js";
import type { KvmFacts } from "./kvm.js";
import type { Shape } from "./shape.js";

const TWO_64 = 1n << 64n;
/** No KVM maps beyond 52 bits, and where it maps less this is refused just so. */
const GPA_END_MAX = 1n << 52n;
const USER_END = BigInt(TASK_SIZE_MAX);
const ARENA_BYTES = 1n << 40n;
const HUGE_BYTES = BigInt(KVM_MEM_MAX_NR_PAGES) * PAGE_BYTES;

export class RegionDraw {
  readonly #random: Random;
  readonly #facts: KvmFacts;
  readonly #shape: Shape;
  readonly #guess: Guess;

  constructor(random: Random, facts: KvmFacts, shape: Shape, guess: Guess) {
    this.#random = random;
    this.#facts = facts;
    this.#shape = shape;
    this.#guess = guess;
  }

  /** A slot that is not live, mostly where there is room. */
  create(): Region {
    const region = { slot: this.#deadId(), flags: this.#flags(), ...this.#place(), host: this.#host() };
    for (let tries = this.#random.pick([0, 0, 4, 12]); tries > 0 && this.#guess.overlaps(region); tries--) {
      Object.assign(region, this.#place());
    }
    return region;
  }

  /** The hole above a live slot, filled exactly or by a page too much. */
  fill(): Region {
    const region = this.create();
    const below = this.live();
    if (below === undefined) return region;
    const start = below.gpa + below.size;
    const above = this.#guess.slots.filter(({ gpa }) => gpa >= start).map(({ gpa }) => gpa - start);
    const [hole] = [...above, this.#npages()].sort((a, b) => Number(a - b));
    const size = hole! + (this.#random.chance(0.2) ? PAGE_BYTES : 0n);
    return size === 0n ? region : { ...region, gpa: start, size };
  }

  /** Only the id counts, as long as the rest is well-formed. */
  remove(): Region {
    const slot = this.live() ?? this.create();
    if (this.#random.chance(0.5)) return { ...slot, size: 0n };
    const gpa = this.#random.pick([0n, this.#window(), GPA_END_MAX, TWO_64 - PAGE_BYTES]);
    return { slot: slot.slot, flags: this.#random.int(4), gpa, size: 0n, host: this.#host() };
  }

  move(): Region {
    const slot = this.live();
    if (slot === undefined) return this.create();
    const other = this.live() ?? slot;
    const near = (BigInt(this.#random.int(7)) - 3n) * PAGE_BYTES;
    const gpa = this.#random.pick([
      slot.gpa + near,
      this.#window(),
      this.#window(),
      other.gpa + other.size,
      other.gpa - slot.size,
      this.#gpaEnd() + near,
    ]);
    const toggled = this.#random.chance(0.25) ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    return { ...slot, gpa: gpa < 0n ? 0n : gpa, flags: slot.flags ^ toggled };
  }

  toggleLog(): Region {
    const slot = this.again();
    return { ...slot, flags: slot.flags ^ KVM_MEM_LOG_DIRTY_PAGES };
  }

  /** Exactly what is there already. */
  again(): Region {
    return this.live() ?? this.create();
  }

  /** A change that KVM makes to no live slot, sometimes along with one that it makes. */
  change(): Region {
    const slot = this.#random.chance(0.5) ? this.again() : this.move();
    const { address } = slot.host;
    return this.#random.pick<Region>([
      { ...slot, flags: slot.flags ^ KVM_MEM_READONLY },
      { ...slot, size: slot.size + PAGE_BYTES },
      { ...slot, size: slot.size - PAGE_BYTES },
      { ...slot, size: this.#npages() },
      { ...slot, host: { ...slot.host, address: address + PAGE_BYTES } },
      { ...slot, host: this.#host() },
    ]);
  }

  /** Large enough for a bitmap of many words, away from the window. */
  big(): Region {
    const npages = this.#random.pick([1000, 4096, 4099, 32769, 262147]);
    const gpa = this.#shape.base + BigInt(this.#shape.pages * 2) * PAGE_BYTES;
    return { ...this.create(), gpa, size: BigInt(npages) * PAGE_BYTES };
  }

  misalign(): Region {
    const region = this.any();
    const bytes = BigInt(1 + this.#random.int(0xfff));
    return this.#random.pick<Region>([
      { ...region, gpa: region.gpa + bytes },
      { ...region, size: region.size + bytes },
      { ...region, host: { ...region.host, address: region.host.address + bytes } },
    ]);
  }

  unknownFlag(): Region {
    // Known to KVM_SET_USER_MEMORY_REGION2, without the other flags.
    const other = this.#random.pick([0, 0, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY]);
    if (this.#random.chance(0.4)) return { ...this.create(), flags: KVM_MEM_GUEST_MEMFD | other };
    const region = this.any();
    const bit = 2 ** (2 + this.#random.int(30));
    return { ...region, flags: this.#random.chance(0.1) ? 0xffff_ffff : region.flags + bit };
  }

  badId(): Region {
    const asId = this.#facts.addressSpaces + this.#random.int(4);
    const slot = this.#random.pick([32764, 32765, 32766, 32767, 0x8000, 0xffff, 0xffff_ffff]);
    return { ...this.any(), slot: this.#random.chance(0.3) ? asId * 0x1_0000 + this.id() : slot };
  }

  /** Beyond or just within what an address or a size can be. */
  limit(): Region {
    const region = this.any();
    const pages = (n: number) => BigInt(1 + this.#random.int(n)) * PAGE_BYTES;
    const size = pages(4);
    const abs = (address: bigint): Host => ({ name: "hva_abs", address });
    return this.#random.pick<() => Region>([
      () => ({ ...region, gpa: TWO_64 - pages(4), size }),
      () => ({ ...region, gpa: GPA_END_MAX, size }),
      () => ({ ...region, gpa: 1n << 63n, size }),
      () => ({ ...region, gpa: this.#gpaEnd() - pages(4), size }),
      () => ({ ...region, size: HUGE_BYTES + pages(6) }),
      () => ({ ...region, size: this.#random.pick([1n << 63n, TWO_64 - PAGE_BYTES]) }),
      () => this.#huge(region),
      () => ({ ...region, host: abs(0xffff_8000_0000_0000n) }),
      () => ({ ...region, host: abs(1n << 63n) }),
      () => ({ ...region, host: abs(TWO_64 - pages(4)) }),
      () => ({ ...region, size, host: abs(USER_END - pages(4)) }),
      () => ({ ...region, size, host: abs(USER_END + pages(4) - PAGE_BYTES) }),
    ])();
  }

  any(): Region {
    return this.#random.pick([() => this.create(), () => this.again(), () => this.move()])();
  }

  live(): Region | undefined {
    return this.#guess.pick(
      this.#random,
      this.#random.chance(this.#shape.hot) ? this.#shape.hotIds : this.#shape.ids,
    );
  }

  id(): number {
    return this.#random.pick(this.#random.chance(this.#shape.hot) ? this.#shape.hotIds : this.#shape.ids);
  }

  /**
   * As many pages as a slot may have, but reaching beyond the highest gpa: KVM must never accept it, for it
   * would take 16 GiB of kernel memory. Without LOG, because KVM allocates the bitmap before that check.
   */
  #huge(region: Region): Region {
    const gpa = this.#random.chance(0.5) ? GPA_END_MAX - PAGE_BYTES : GPA_END_MAX - HUGE_BYTES + PAGE_BYTES;
    return { ...region, flags: region.flags & KVM_MEM_READONLY, gpa, size: HUGE_BYTES };
  }

  /** Where KVM's gpas end, or beyond, such that the engine's have ended too. */
  #gpaEnd(): bigint {
    return this.#facts.physAddrBits === 52 ? GPA_END_MAX : GPA_END_MAX + 4n * PAGE_BYTES;
  }

  #deadId(): number {
    let id = this.id();
    for (let tries = 6; tries > 0 && this.#guess.has(id); tries--) id = this.id();
    return id;
  }

  #flags(): number {
    const log = this.#random.chance(this.#shape.logging) ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    return log | (this.#random.chance(0.15) ? KVM_MEM_READONLY : 0);
  }

  #npages(): bigint {
    const { npagesMax, pages } = this.#shape;
    // Around the 64 pages of a word of the dirty bitmap.
    if (pages >= 256 && this.#random.chance(0.05)) {
      return BigInt(this.#random.pick([63, 64, 65, 128, 130])) * PAGE_BYTES;
    }
    return BigInt(1 + this.#random.int(this.#random.pick(npagesMax))) * PAGE_BYTES;
  }

  /** A page of the window, or a few before and after it. */
  #window(): bigint {
    const gpa = this.#shape.base + BigInt(this.#random.int(this.#shape.pages + 8) - 4) * PAGE_BYTES;
    return gpa < 0n ? 0n : gpa;
  }

  #place(): { gpa: bigint; size: bigint } {
    const size = this.#npages();
    const neighbour = this.#random.chance(0.3) ? this.live() : undefined;
    if (neighbour === undefined) return { gpa: this.#window(), size };
    const gpa = this.#random.pick([neighbour.gpa + neighbour.size, neighbour.gpa - size]);
    return { gpa: gpa < 0n ? 0n : gpa, size };
  }

  #host(): Host {
    const other = this.#random.chance(0.15) ? this.live() : undefined;
    // Several slots may map the same host pages.
    if (other !== undefined) return other.host;
    if (this.#random.chance(0.02)) return { name: "hva", address: ARENA_BYTES - PAGE_BYTES };
    if (this.#random.chance(0.01)) return { name: "hva_abs", address: 0n };
    return { name: "hva", address: BigInt(this.#random.int(this.#shape.hvaPages)) * PAGE_BYTES };
  }
}
