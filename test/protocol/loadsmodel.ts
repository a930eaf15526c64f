/**
 * Loads without a section, in all interleavings: a thread has found once where a guest page lies in host memory, loads
 * from there, and then looks whether the layout is still the newest. A writer moves the page from place to place, and
 * uses the place that it has left for something else; it waits for nobody. The steps are those of commitAfterLoads and
 * guestMemory. A load may be late until an access of its thread orders it.
 *
 * Each load that counts must be of the guest's page, whatever the writer does.
 */

/** What such loads live by; a mutation is the protocol without one of them. */
export const LOADS_RULES = [
  "loads before the look",
  "the look",
  "numbers, not roots",
  "number before publication",
] as const;

export type LoadsRule = (typeof LOADS_RULES)[number];

export interface LoadsResult {
  readonly states: number;
  /** Steps by which a load counted without a section. */
  readonly counted: number;
  readonly wrong: boolean;
}

const COMMITS = 4;
const LOADS = 3;

type ReaderStep = "load" | "look" | "number" | "count" | "find" | "end";
type WriterStep = "place" | "number" | "publish" | "late number" | "reuse" | "end";

interface State {
  /** Shared: the published root; the number and the place that each root has; which places are the guest's. */
  root: number;
  numbers: number[];
  places: number[];
  isGuest: boolean[];
  /** The thread: its step; the layout in which it found the page; the load at hand, and what it saw at its look. */
  reader: ReaderStep;
  known: { root: number; number: number; place: number };
  loads: number;
  late: boolean;
  value: boolean;
  seen: number;
  seenNumber: number;
  writer: WriterStep;
  commits: number;
  /** Place that the last commit has freed. */
  old: number;
}

const FIRST: State = {
  ...{ root: 0, numbers: [0, -1], places: [0, 0], isGuest: [true, false, false] },
  ...{ reader: "load", known: { root: 0, number: 0, place: 0 }, loads: LOADS, late: false, value: true },
  ...{ seen: 0, seenNumber: 0, writer: "place", commits: 0, old: 0 },
};

/** The load is done: it sees what the place holds now. */
function arrive(s: State): void {
  if (s.late) s.value = s.isGuest[s.known.place]!;
  s.late = false;
}

/** One search: the steps, without one rule maybe. */
class Loads {
  counted = 0;
  wrong = false;

  constructor(readonly missing?: LoadsRule) {}

  #keeps(rule: LoadsRule): boolean {
    return rule !== this.missing;
  }

  /** States that may follow. */
  successors(s: State): State[] {
    const made: State[] = [];
    const make = (change: (next: State) => void): void => {
      const next = structuredClone(s);
      change(next);
      made.push(next);
    };
    if (s.late) make(arrive);
    if (s.reader !== "end") make((next) => this.#read(next));
    if (s.writer !== "end") make((next) => this.#write(next));
    return made;
  }

  #read(s: State): void {
    switch (s.reader) {
      case "load":
        s.late = true;
        s.reader = "look";
        break;
      case "look":
        // The store that stands before the look.
        if (this.#keeps("loads before the look")) arrive(s);
        s.seen = s.root;
        s.reader = "number";
        break;
      case "number":
        s.seenNumber = s.numbers[s.seen]!;
        s.reader = "count";
        break;
      case "count": {
        arrive(s);
        s.loads--;
        const { root, number } = s.known;
        const isSame = this.#keeps("numbers, not roots") ? s.seenNumber === number : s.seen === root;
        if (isSame || !this.#keeps("the look")) {
          this.counted++;
          this.wrong ||= !s.value;
          s.reader = s.loads === 0 ? "end" : "load";
        } else s.reader = s.loads === 0 ? "end" : "find";
        break;
      }
      case "find":
        // In a section of its own, as everything that is found.
        s.known = { root: s.root, number: s.numbers[s.root]!, place: s.places[s.root]! };
        s.reader = "load";
        break;
    }
  }

  #write(s: State): void {
    const spare = 1 - s.root;
    switch (s.writer) {
      case "place": {
        const place = s.isGuest.indexOf(false);
        s.isGuest[place] = true;
        s.places[spare] = place;
        s.commits++;
        s.writer = this.#keeps("number before publication") ? "number" : "publish";
        break;
      }
      case "number":
        s.numbers[spare] = s.commits;
        s.writer = "publish";
        break;
      case "publish":
        s.old = s.places[s.root]!;
        s.root = spare;
        s.writer = this.#keeps("number before publication") ? "reuse" : "late number";
        break;
      case "late number":
        s.numbers[s.root] = s.commits;
        s.writer = "reuse";
        break;
      case "reuse":
        s.isGuest[s.old] = false;
        s.writer = s.commits === COMMITS ? "end" : "place";
        break;
    }
  }
}

/** Search all states; up to the first load that counts and is none of the guest's. */
export function exploreLoads(missing?: LoadsRule): LoadsResult {
  const loads = new Loads(missing);
  const known = new Set<string>();
  const open: State[] = [structuredClone(FIRST)];
  for (let state = open.pop(); state !== undefined && !loads.wrong; state = open.pop()) {
    const key = JSON.stringify(state);
    if (known.has(key)) continue;
    known.add(key);
    open.push(...loads.successors(state));
  }
  return { states: known.size, counted: loads.counted, wrong: loads.wrong };
}
