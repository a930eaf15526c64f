/**
 * The dirty ring in all interleavings: a vCPU writes pages and pushes them, a harvester takes entries, copies their
 * pages and resets the ring; either may die before any step, and another goes on in its place. The steps are the
 * atomic accesses of assembly/dirtyring.ts; a guest's write waits in a store buffer until an atomic access of its
 * thread, or the hardware, lets it go.
 *
 * At the end, after one more harvest, the copy of each page must be as new as the last write of it that was told,
 * and the ring empty.
 */

/** What the ring lives by; a mutation is the ring without one of them. */
export const RING_RULES = [
  "write before mark",
  "entry before its state",
  "state before the count",
  "keep by read-modify-write",
  "full ring keeps its entries",
  "overflow is noted",
  "overflow is cleared by compare",
  "reset looks at the count before the entries",
  "reset stops at what is not harvested",
  "free before the advance",
  "repair of a push",
] as const;

export type RingRule = (typeof RING_RULES)[number];

export type RingViolation = "lost" | "not empty";

export interface RingResult {
  readonly states: number;
  readonly ends: number;
  readonly violation?: RingViolation;
}

const SIZE = 2;
const PAGES = 3;
/** Pages in the order of their writes: one again at once, and more of them than the ring has entries. */
const WRITES = [0, 0, 1, 2];
const HARVESTS = 2;
const DEATHS = 1;

const [FREE, DIRTY, HARVESTED] = [0, 1, 2];
const [MISSED, TOLD] = [1, 2];

type VcpuStep = "write" | "look" | "keep" | "overflow" | "fill" | "publish" | "count" | "told" | "repair";
type HarvestStep = "tell" | "first" | "dirty" | "take" | "read" | "copy";
type ResetStep = "begin" | "look" | "count" | "free" | "advance" | "clear";

/** All that a state is made of: numbers, words, and lists of them. */
interface State {
  /** Shared words. */
  entries: number[];
  pages: number[];
  dirty: number;
  reset: number;
  overflow: number;
  memory: number[];
  /** The vCPU: its step, writes done, a write in the store buffer (-1: none), entry last pushed of each page. */
  vcpu: VcpuStep;
  written: number;
  buffered: number;
  index: number;
  used: number;
  last: number[];
  /** The harvester. */
  step: HarvestStep | ResetStep | "end";
  locked: boolean;
  rounds: number;
  all: boolean;
  from: number;
  seen: number;
  at: number;
  state: number;
  list: number[];
  deaths: number;
  /** For the properties: writes so far, of these told, and what the copies have. */
  writes: number[];
  told: number[];
  copies: number[];
}

function firstState(): State {
  const zero = (): number[] => Array<number>(PAGES).fill(0);
  return {
    ...{ entries: Array(SIZE).fill(FREE), pages: Array(SIZE).fill(0), dirty: 0, reset: 0, overflow: 0 },
    ...{
      memory: zero(),
      vcpu: "write",
      written: 0,
      buffered: -1,
      index: 0,
      used: 0,
      last: zero().map(() => -1),
    },
    ...{
      step: "tell",
      locked: false,
      rounds: HARVESTS,
      all: false,
      from: 0,
      seen: 0,
      at: 0,
      state: 0,
      list: [],
    },
    ...{ deaths: DEATHS, writes: zero(), told: zero(), copies: zero() },
  };
}

/** One search: the steps, without one rule maybe. */
class Ring {
  constructor(readonly missing?: RingRule) {}

  #keeps(rule: RingRule): boolean {
    return rule !== this.missing;
  }

  // ---- the vCPU ----

  #drain(s: State): void {
    if (s.buffered >= 0) s.memory[s.buffered] = s.writes[s.buffered]!;
    s.buffered = -1;
  }

  #write(s: State, page: number): void {
    this.#drain(s);
    s.writes[page]!++;
    s.buffered = page;
  }

  /** Where a push goes that found no entry to keep. */
  #push(s: State): VcpuStep {
    if (s.used >= SIZE && this.#keeps("full ring keeps its entries")) return "overflow";
    if (!this.#keeps("entry before its state")) return "publish";
    return "fill";
  }

  vcpu(s: State): boolean {
    const page = WRITES[s.written];
    if (page === undefined) return false;
    const at = s.index % SIZE;
    switch (s.vcpu) {
      case "write":
        if (this.#keeps("write before mark")) this.#write(s, page);
        s.vcpu = "look";
        break;
      case "look": {
        s.index = s.dirty;
        s.used = s.index - s.reset;
        const last = s.last[page]!;
        const waits = last >= 0 && s.index - last - 1 < s.used && s.pages[last % SIZE] === page;
        s.vcpu = waits ? "keep" : this.#push(s);
        break;
      }
      case "keep":
        if (this.#keeps("keep by read-modify-write")) this.#drain(s);
        s.vcpu = s.entries[s.last[page]! % SIZE] === DIRTY ? "told" : this.#push(s);
        break;
      case "overflow":
        this.#drain(s);
        if (this.#keeps("overflow is noted")) s.overflow = MISSED!;
        s.vcpu = "told";
        break;
      case "fill":
        s.pages[at] = page;
        s.vcpu = "publish";
        if (!this.#keeps("state before the count") || !this.#keeps("entry before its state"))
          s.vcpu = "count";
        break;
      case "publish":
        this.#drain(s);
        s.entries[at] = DIRTY!;
        s.vcpu = "count";
        if (!this.#keeps("state before the count")) s.vcpu = "told";
        if (!this.#keeps("entry before its state")) s.vcpu = "fill";
        break;
      case "count":
        s.dirty = s.index + 1;
        s.last[page] = s.index;
        s.vcpu = this.#keeps("state before the count") ? "told" : "publish";
        break;
      case "told":
        if (!this.#keeps("write before mark")) this.#write(s, page);
        s.told[page] = s.writes[page]!;
        s.written++;
        s.vcpu = "write";
        break;
      case "repair":
        if (s.locked) return false;
        if (this.#keeps("repair of a push")) this.#repair(s);
        s.written++;
        s.vcpu = "write";
    }
    return true;
  }

  /** repairPush. */
  #repair(s: State): void {
    const used = s.dirty - s.reset;
    if (used === -1 || (used < SIZE && s.entries[s.dirty % SIZE] !== FREE)) s.dirty++;
  }

  // ---- the harvester ----

  /** True if nothing follows entry `at`: it is free, and not because a reset has died behind it. */
  #isPast(s: State, at: number): boolean {
    return s.state === FREE && s.seen - at <= 0;
  }

  harvester(s: State): boolean {
    const entry = (s.from + s.at) % SIZE;
    switch (s.step) {
      case "tell":
        if (s.overflow === MISSED) s.overflow = TOLD!;
        s.all = s.overflow !== 0;
        s.step = "first";
        break;
      case "first":
        s.from = s.reset;
        s.at = 0;
        s.step = "dirty";
        break;
      case "dirty":
        s.seen = s.dirty;
        s.step = "take";
        break;
      case "take":
        s.state = s.entries[entry]!;
        if (s.state === DIRTY) s.entries[entry] = HARVESTED!;
        if (this.#isPast(s, s.from + s.at) || ++s.at === SIZE) s.step = "read";
        break;
      case "read":
        s.list = [];
        for (let i = 0; i < s.at; i++) {
          if (s.entries[(s.from + i) % SIZE] === HARVESTED) s.list.push(s.pages[(s.from + i) % SIZE]!);
        }
        if (s.all) s.list = Array.from({ length: PAGES }, (_, page) => page);
        s.step = "copy";
        break;
      case "copy": {
        const page = s.list.pop();
        if (page === undefined) s.step = "begin";
        else s.copies[page] = s.memory[page]!;
        break;
      }
      default:
        return this.#resetter(s);
    }
    return true;
  }

  /** On from an entry that was not harvested: over it if a dead reset has freed it, else to the end. */
  #afterLook(s: State): ResetStep {
    return s.state !== FREE || this.#isPast(s, s.from) ? "clear" : "advance";
  }

  #resetter(s: State): boolean {
    const entry = s.from % SIZE;
    const harvested = this.#keeps("reset stops at what is not harvested") ? [HARVESTED] : [DIRTY, HARVESTED];
    const late = !this.#keeps("free before the advance");
    switch (s.step) {
      case "begin":
        s.locked = true;
        s.seen = s.dirty;
        s.from = s.reset;
        s.at = 0;
        s.step = "look";
        break;
      case "look":
        s.state = s.at === SIZE ? DIRTY! : s.entries[entry]!;
        if (s.at < SIZE && harvested.includes(s.state)) s.step = late ? "advance" : "free";
        else if (!this.#keeps("reset looks at the count before the entries")) s.step = "count";
        else s.step = this.#afterLook(s);
        break;
      case "count":
        s.seen = s.dirty;
        s.step = this.#afterLook(s);
        break;
      case "free":
        s.entries[late ? (s.from + SIZE - 1) % SIZE : entry] = FREE!;
        s.step = late ? "look" : "advance";
        break;
      case "advance":
        s.reset = ++s.from;
        s.at++;
        s.step = late && s.state !== FREE ? "free" : "look";
        break;
      case "clear":
        if (s.overflow === TOLD || !this.#keeps("overflow is cleared by compare")) s.overflow = 0;
        s.locked = false;
        s.rounds--;
        s.step = s.rounds > 0 ? "tell" : "end";
        break;
      default:
        return false;
    }
    return true;
  }

  /** Everybody is finished: one more harvest, and look. */
  judge(s: State): RingViolation | undefined {
    this.#drain(s);
    s.rounds = 1;
    s.step = "tell";
    while (this.harvester(s));
    if (s.told.some((told, page) => s.copies[page]! < told)) return "lost";
    return s.dirty !== s.reset || s.entries.some((entry) => entry !== FREE) ? "not empty" : undefined;
  }
}

/** States that may follow. */
function successors(ring: Ring, s: State): State[] {
  const made: State[] = [];
  const make = (change: (next: State) => boolean): void => {
    const next = structuredClone(s);
    if (change(next)) made.push(next);
  };
  make((next) => ring.vcpu(next));
  make((next) => ring.harvester(next));
  if (s.buffered >= 0)
    make((next) => {
      next.memory[next.buffered] = next.writes[next.buffered]!;
      next.buffered = -1;
      return true;
    });
  if (s.deaths === 0) return made;
  if (s.written < WRITES.length && s.vcpu !== "repair")
    make((next) => {
      next.vcpu = "repair";
      next.deaths--;
      return true;
    });
  if (s.step !== "end")
    make((next) => {
      Object.assign(next, { step: "tell", locked: false, all: false, list: [], deaths: next.deaths - 1 });
      return true;
    });
  return made;
}

/** Search all states; up to the first violation. */
export function exploreRing(missing?: RingRule): RingResult {
  const ring = new Ring(missing);
  const known = new Set<string>();
  const open: State[] = [firstState()];
  let ends = 0;
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const key = JSON.stringify(Object.values(state));
    if (known.has(key)) continue;
    known.add(key);
    if (state.written === WRITES.length && state.step === "end") {
      ends++;
      const violation = ring.judge(structuredClone(state));
      if (violation !== undefined) return { states: known.size, ends, violation };
    }
    open.push(...successors(ring, state));
  }
  return { states: known.size, ends };
}
