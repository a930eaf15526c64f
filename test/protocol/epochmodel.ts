/**
 * The dirty epoch in all interleavings: a vCPU marks a page when it enters it into its TLB, ahead of the writes, and
 * keeps the entry; a harvester takes bits and copies their pages, round after round; the vCPU may die before any step
 * and is reaped. The steps are those of assembly/tlb.ts and assembly/dirtylog.ts; a guest's write waits in a store
 * buffer until an atomic access of its thread, or the hardware, lets it go.
 *
 * At the end, when the vCPU is out of its last section and one more harvest was made, the copy of each page must be as
 * new as the page.
 */

/** What the epoch lives by; a mutation is the protocol without one of them. */
export const EPOCH_RULES = [
  "epoch after taking",
  "epoch before the look at the page",
  "store before the look",
  "writes before the look",
  "look before the first mark",
  "marks again when the epoch has moved",
  "settled before an entry is forgotten",
  "settled for the dead",
] as const;

export type EpochRule = (typeof EPOCH_RULES)[number];

export interface EpochResult {
  readonly states: number;
  readonly ends: number;
  readonly lost: boolean;
}

const PAGES = 3;
/** Pages 0 and 2 share an entry. */
const ENTRIES = 2;
const NONE = -1;
/** Pages in the order of their writes, section by section. */
const SECTIONS = [[0, 1, 0], [2, 0], [0]];
const HARVESTS = 2;
const DEATHS = 1;

type VcpuStep =
  | "probe"
  | "first"
  | "mark"
  | "enter"
  | "write"
  | "early"
  | "store"
  | "look"
  | "again"
  | "done"
  | "end";
type HarvestStep = "advance first" | "take" | "advance" | "copy" | "advance last" | "end";

interface State {
  /** Shared words; a bit of `dirty` and a word of `memory` per page. */
  epoch: number;
  dirty: number;
  memory: number[];
  /** The vCPU: its step; where it is; what settles (an entry that is forgotten, or the section's end). */
  vcpu: VcpuStep;
  section: number;
  write: number;
  entries: number[];
  ahead: boolean;
  seen: number;
  noted: number;
  forgetting: boolean;
  dead: boolean;
  buffered: number;
  /** The harvester: its step, rounds, page, and pages taken. */
  step: HarvestStep;
  rounds: number;
  page: number;
  taken: number;
  deaths: number;
  /** For the property: writes so far, and what the copies have. */
  writes: number[];
  copies: number[];
}

/** One search: the steps, without one rule maybe. */
class Epoch {
  constructor(readonly missing?: EpochRule) {}

  #keeps(rule: EpochRule): boolean {
    return rule !== this.missing;
  }

  get #firstStep(): HarvestStep {
    return this.#keeps("epoch after taking") ? "take" : "advance first";
  }

  firstState(): State {
    return {
      ...{ epoch: 0, dirty: 0, memory: Array(PAGES).fill(0), vcpu: "probe", section: 0, write: 0 },
      ...{
        entries: Array(ENTRIES).fill(NONE),
        ahead: false,
        seen: 0,
        noted: 0,
        forgetting: false,
        dead: false,
      },
      ...{ buffered: NONE, step: this.#firstStep, rounds: HARVESTS, page: 0, taken: 0, deaths: DEATHS },
      ...{ writes: Array(PAGES).fill(0), copies: Array(PAGES).fill(0) },
    };
  }

  drain(s: State): void {
    if (s.buffered >= 0) s.memory[s.buffered] = s.writes[s.buffered]!;
    s.buffered = NONE;
  }

  /** The page is in no entry: its entry may be one that is to be forgotten first. */
  #miss(s: State, page: number): VcpuStep {
    s.forgetting = s.ahead && s.entries[page % ENTRIES] !== NONE;
    if (s.forgetting && this.#keeps("settled before an entry is forgotten")) return this.#settle();
    s.entries[page % ENTRIES] = NONE;
    return this.#fill(s);
  }

  #fill(s: State): VcpuStep {
    return s.ahead || !this.#keeps("look before the first mark") ? "mark" : "first";
  }

  #settle(): VcpuStep {
    return this.#keeps("writes before the look") ? "store" : "early";
  }

  /** On, once marks are settled. */
  #settled(s: State): VcpuStep {
    if (s.dead) return "end";
    if (!s.forgetting) return "done";
    s.entries[SECTIONS[s.section]![s.write]! % ENTRIES] = NONE;
    return this.#fill(s);
  }

  /** A look at the epoch, and the store that comes before it, which lets the writes go. */
  #look(s: State): void {
    if (this.#keeps("store before the look")) this.drain(s);
    s.seen = s.epoch;
  }

  vcpu(s: State): boolean {
    const page = SECTIONS[s.section]?.[s.write] ?? NONE;
    switch (s.vcpu) {
      case "probe":
        s.vcpu = s.entries[page % ENTRIES] === page ? "write" : this.#miss(s, page);
        break;
      case "first":
        this.#look(s);
        s.noted = s.seen;
        s.ahead = true;
        s.vcpu = this.#keeps("look before the first mark") ? "mark" : "enter";
        break;
      case "mark":
        this.drain(s);
        s.dirty |= 1 << page;
        s.vcpu = s.ahead ? "enter" : "first";
        break;
      case "enter":
        s.entries[page % ENTRIES] = page;
        s.vcpu = "write";
        break;
      case "write":
        this.drain(s);
        s.writes[page]!++;
        s.buffered = page;
        s.vcpu = "probe";
        if (++s.write < SECTIONS[s.section]!.length) break;
        s.forgetting = false;
        s.vcpu = s.ahead ? this.#settle() : "done";
        break;
      default:
        return this.#settler(s);
    }
    return true;
  }

  #settler(s: State): boolean {
    switch (s.vcpu) {
      case "early":
        s.seen = s.epoch;
        s.vcpu = "store";
        break;
      case "store":
        if (this.#keeps("store before the look")) this.drain(s);
        s.vcpu = "look";
        break;
      case "look":
        if (this.#keeps("writes before the look")) s.seen = s.epoch;
        s.vcpu = s.seen === s.noted ? this.#settled(s) : "again";
        break;
      case "again": {
        const i = s.entries.findIndex((entry) => entry !== NONE);
        if (i === NONE) {
          s.ahead = false;
          s.vcpu = this.#settled(s);
          break;
        }
        if (this.#keeps("marks again when the epoch has moved")) {
          this.drain(s);
          s.dirty |= 1 << s.entries[i]!;
        }
        s.entries[i] = NONE;
        break;
      }
      case "done":
        // The pin is cleared: an atomic store.
        this.drain(s);
        s.section++;
        s.write = 0;
        s.vcpu = s.section === SECTIONS.length ? "end" : "probe";
        break;
      default:
        return false;
    }
    return true;
  }

  /** The vCPU is dead; a reaper goes on in its line. What it has written is there. */
  reap(s: State): void {
    this.drain(s);
    s.dead = true;
    s.forgetting = false;
    s.vcpu = s.ahead && this.#keeps("settled for the dead") ? "store" : "end";
    s.section = SECTIONS.length;
    s.deaths--;
  }

  harvester(s: State): boolean {
    switch (s.step) {
      case "advance first":
        s.epoch++;
        s.step = "take";
        break;
      case "take":
        // Word by word: the whole is not atomic.
        s.taken |= s.dirty & (1 << s.page);
        s.dirty &= ~(1 << s.page);
        if (++s.page < PAGES) break;
        s.page = 0;
        s.step = this.#afterTaking();
        break;
      case "advance":
        s.epoch++;
        s.step = "copy";
        break;
      case "copy":
        if (s.taken & (1 << s.page)) s.copies[s.page] = s.memory[s.page]!;
        if (++s.page < PAGES) break;
        s.page = 0;
        s.taken = 0;
        if (this.#keeps("epoch before the look at the page")) this.#nextRound(s);
        else s.step = "advance last";
        break;
      case "advance last":
        s.epoch++;
        this.#nextRound(s);
        break;
      default:
        return false;
    }
    return true;
  }

  #afterTaking(): HarvestStep {
    const plain = this.#keeps("epoch after taking") && this.#keeps("epoch before the look at the page");
    return plain ? "advance" : "copy";
  }

  #nextRound(s: State): void {
    s.step = --s.rounds > 0 ? this.#firstStep : "end";
  }

  /** Everybody is finished: one more harvest, and look. */
  isLost(s: State): boolean {
    this.drain(s);
    s.rounds = 1;
    s.step = this.#firstStep;
    while (this.harvester(s));
    return s.writes.some((writes, page) => s.copies[page]! < writes);
  }
}

/** States that may follow. */
function successors(epoch: Epoch, s: State): State[] {
  const made: State[] = [];
  const make = (change: (next: State) => boolean): void => {
    const next = structuredClone(s);
    if (change(next)) made.push(next);
  };
  make((next) => epoch.vcpu(next));
  make((next) => epoch.harvester(next));
  if (s.buffered >= 0)
    make((next) => {
      epoch.drain(next);
      return true;
    });
  if (s.deaths > 0 && s.vcpu !== "end")
    make((next) => {
      epoch.reap(next);
      return true;
    });
  return made;
}

/** Search all states; up to the first lost write. */
export function exploreEpoch(missing?: EpochRule): EpochResult {
  const epoch = new Epoch(missing);
  const known = new Set<string>();
  const open: State[] = [epoch.firstState()];
  let ends = 0;
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const key = JSON.stringify(Object.values(state));
    if (known.has(key)) continue;
    known.add(key);
    if (state.vcpu === "end" && state.step === "end") {
      ends++;
      if (epoch.isLost(structuredClone(state))) return { states: known.size, ends, lost: true };
    }
    open.push(...successors(epoch, state));
  }
  return { states: known.size, ends, lost: false };
}
