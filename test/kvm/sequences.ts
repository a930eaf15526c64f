/**
 * Random sequences of vector operations, for KVM to answer. One seed is one sequence where the
 * facts of the host are the same.
 */
import { KVM_MEM_GUEST_MEMFD } from "../../src/kvm/uapi.js";
import { type Random, random } from "../support/random.js";
import type { VectorOp, VectorSequence } from "../support/vectors.js";
import { Guess, PAGE_BYTES, type Region } from "./guess.js";
import type { KvmFacts } from "./kvm.js";
import { LogDraw } from "./logs.js";
import { RegionDraw } from "./regions.js";
import { ACCESSES, drawShape, type Kind, type Shape } from "./shape.js";

const PAGE = Number(PAGE_BYTES);
const SWEEP_PAGES_MAX = 512;
/** The wall clock that write_guest makes KVM write. */
const CLOCK_BYTES = 12;

/** @param ops how many, where not as many as the kind of sequence has. */
export function drawSequence(seed: number, facts: KvmFacts, ops?: number): VectorSequence {
  const draw = random(seed);
  const shape = drawShape(draw, facts, ops);
  const { name, vcpus, base, pages, ids, manual } = shape;
  const header = { seq: `${name}/${seed}`, vcpus, seed, base: hex(base), pages, slots: ids.length, manual };
  return { header, ops: new SequenceDraw(draw, facts, shape).ops() };
}

class SequenceDraw {
  readonly #random: Random;
  readonly #facts: KvmFacts;
  readonly #shape: Shape;
  readonly #guess: Guess;
  readonly #regions: RegionDraw;
  readonly #logs: LogDraw;

  constructor(random: Random, facts: KvmFacts, shape: Shape) {
    this.#random = random;
    this.#facts = facts;
    this.#shape = shape;
    this.#guess = new Guess(facts.physAddrBits);
    this.#regions = new RegionDraw(random, facts, shape, this.#guess);
    this.#logs = new LogDraw(random, this.#guess, this.#regions);
  }

  ops(): VectorOp[] {
    const { ops, populate, vcpus, ringBytes, manual } = this.#shape;
    const drawn: VectorOp[] = [];
    if (ringBytes !== 0) drawn.push({ op: "enable_cap", cap: "dirty_log_ring", arg0: ringBytes });
    if (manual !== 0) drawn.push({ op: "enable_cap", cap: "manual_dirty_log_protect2", arg0: manual });
    // Without a vCPU the slot ioctls work as well; the accesses come when there is one.
    const vcpuAt = vcpus === 0 ? Math.floor(ops / 3) : 0;
    for (let i = 0; i < ops; i++) {
      if (vcpus === 0 && i === vcpuAt) drawn.push({ op: "create_vcpu" });
      drawn.push(this.#op(i < populate ? "create" : this.#kind(i >= vcpuAt)));
    }
    drawn.push(this.#finalSweep());
    return drawn;
  }

  #kind(hasVcpu: boolean): Kind {
    const kinds = [...this.#shape.weights].filter(
      ([kind]) => hasVcpu || !(ACCESSES.includes(kind) || kind === "createVcpu"),
    );
    let at = this.#random.next() * kinds.reduce((sum, [, weight]) => sum + weight, 0);
    return (kinds.find(([, weight]) => (at -= weight) < 0) ?? kinds[0]!)[0];
  }

  #op(kind: Kind): VectorOp {
    switch (kind) {
      case "badPointer":
        return this.#badPointer();
      case "getDirtyLog":
        return this.#logs.get();
      case "clearDirtyLog":
        return this.#logs.clear();
      case "enableCap":
        return this.#enableCap();
      case "createVcpu":
        return { op: "create_vcpu" };
      case "translate":
        return { op: "translate", gpa: hex(this.#gpa()) };
      case "writeGuest":
        return { op: "write_guest", gpa: hex(this.#unalignedGpa()), len: CLOCK_BYTES };
      case "sweep":
        return { op: "sweep", gpa: hex(this.#gpa()), n: 1 + this.#random.int(16) };
      default:
        return this.#set(this.#regions[kind]());
    }
  }

  #set(region: Region): VectorOp {
    this.#guess.apply(region);
    const { slot, flags, gpa, size, host } = region;
    const op = { op: "set", slot, flags, gpa: hex(gpa), size: hex(size), [host.name]: hex(host.address) };
    const memfd = (flags & KVM_MEM_GUEST_MEMFD) !== 0;
    // The engine knows the flag; a KVM without guest_memfd does not.
    if (memfd && !this.#facts.guestMemfd) return op;
    if (!this.#random.chance(memfd ? 0.7 : this.#shape.set2)) return op;
    if (!memfd && this.#random.chance(0.9)) return { ...op, op: "set2" };
    const offset = this.#random.pick([0n, 0n, 1n, PAGE_BYTES, (1n << 64n) - PAGE_BYTES]);
    return { ...op, op: "set2", gmem_offset: hex(offset), gmem_fd: -1 };
  }

  #badPointer(): VectorOp {
    const set2 = this.#facts.userMemory2 ? "set2" : "set";
    return this.#random.pick([
      () => ({ op: "set", arg: "badptr" }),
      () => ({ op: set2, arg: "badptr" }),
      () => this.#logs.getBadPointer(),
      () => this.#logs.clearBadPointer(),
    ])();
  }

  #enableCap(): VectorOp {
    const cap = "manual_dirty_log_protect2";
    const mask = this.#facts.manualDirtyLogProtect2;
    return this.#random.pick([
      () => ({ op: "enable_cap", cap, arg0: this.#random.int(4) & mask }),
      () => ({ op: "enable_cap", cap, arg0: this.#random.int(4) & mask }),
      () => ({ op: "enable_cap", cap, arg0: this.#random.pick([2, 4, 5, 2 ** 32, 2 ** 53 - 1]) }),
      () => ({ op: "enable_cap", cap, arg0: this.#random.int(4) & mask, cap_flags: 1 }),
      () => ({ op: "enable_cap", cap: "manual_dirty_log_protect_v1", arg0: 1 }),
      // Too late with a vCPU, and of no valid size without one.
      () => ({ op: "enable_cap", cap: "dirty_log_ring", arg0: this.#shape.vcpus === 1 ? 4096 : 4097 }),
    ])();
  }

  /** A page of a slot, mostly its first or last, or one beside it, or any. */
  #gpa(): bigint {
    const slot = this.#regions.live();
    const { base, pages } = this.#shape;
    if (slot === undefined || this.#random.chance(0.2))
      return base + BigInt(this.#random.int(pages)) * PAGE_BYTES;
    const npages = Number(slot.size / PAGE_BYTES);
    const page = this.#random.pick([
      0,
      npages - 1,
      this.#random.int(npages),
      this.#random.int(npages),
      -1,
      npages,
    ]);
    const gpa = slot.gpa + BigInt(page) * PAGE_BYTES;
    return gpa < 0n ? 0n : gpa;
  }

  /** In a page, or so close to its end that the write goes on in the next one. */
  #unalignedGpa(): bigint {
    const crossing = PAGE - 1 - this.#random.int(CLOCK_BYTES + 1);
    // KVM takes address 0 for "no wall clock" and writes nothing, whatever is mapped there.
    return this.#gpa() + BigInt(this.#random.chance(0.7) ? crossing : 1 + this.#random.int(PAGE - 1));
  }

  #finalSweep(): VectorOp {
    const n = Math.min(this.#shape.pages, SWEEP_PAGES_MAX);
    const first = this.#random.int(this.#shape.pages - n + 1);
    return { op: "sweep", gpa: hex(this.#shape.base + BigInt(first) * PAGE_BYTES), n };
  }
}

function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}
