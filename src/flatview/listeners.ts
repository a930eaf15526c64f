/**
 * Who wants to know how an address space changes: device models, caches of translations, displays. They are told
 * after the new map is in force, in QEMU's order:
 *
 *   begin, of all listeners
 *   per address space   regionDel of what is gone or different, ascending, the last listener first
 *                       regionNop, logStart, logStop of what stays; regionAdd of what is new; ascending
 *   commit, of all listeners
 *
 * A commit costs what changes, unless a listener has `regionNop`.
 *
 * So no range is added where another one has not been deleted before. Listeners stand in the order of their
 * priority, the lowest first; teardown (regionDel, logStop) goes through them backwards. Mirrors MemoryListener and
 * address_space_update_topology_pass (QEMU system/memory.c).
 */
import { callAll } from "../kvm/arguments.js";
import type { RangeList } from "./rangelist.js";
import type { FlatRange } from "./render.js";

/** A range as a listener is told of it: plain data, that can be posted to another thread. Bytes. */
export interface MemorySection {
  /** Address space. */
  readonly asId: number;
  /** First guest address. */
  readonly gpa: bigint;
  /** Size, above 0. */
  readonly size: bigint;
  /** Name of the region that answers. */
  readonly name: string;
  /** What that region is. */
  readonly kind: FlatRange["region"]["kind"];
  /** Byte of that region at `gpa`. */
  readonly offset: bigint;
  /** Host address of `gpa`, or undefined if the range is a device's. */
  readonly hva: number | undefined;
  /** Number of the region's device; undefined for memory that has none. */
  readonly device: number | undefined;
  /** Guest writes are refused. */
  readonly readonly: boolean;
  /** A dirty log is kept. */
  readonly log: boolean;
}

/**
 * Each function is optional. What they throw comes out of the commit once all listeners are told; it is in force all
 * the same. A listener may commit: the others hear of that once they have heard of this.
 */
export interface MemoryListener {
  /** Changes follow. */
  begin?(): void;
  /** A range that is new, or different from what was there. */
  regionAdd?(section: MemorySection): void;
  /** A range that is gone, or different now. */
  regionDel?(section: MemorySection): void;
  /** A range that stays as it is. */
  regionNop?(section: MemorySection): void;
  /** A range that stays, or is new, keeps a dirty log from now on. */
  logStart?(section: MemorySection): void;
  /** A range that stays keeps none any more. */
  logStop?(section: MemorySection): void;
  /** All has been told. */
  commit?(): void;
}

/** Options of `views.addListener`. */
export interface ListenerOptions {
  /** Address space to be told of; all if not given. */
  asId?: number | undefined;
  /** Order among listeners, lowest first; 0 if not given. */
  priority?: number | undefined;
}

interface Entry {
  readonly listener: MemoryListener;
  readonly asId: number | undefined;
  readonly priority: number;
}

/** What a section is told of as: a function of MemoryListener. */
export type RegionEvent = "regionAdd" | "regionDel" | "regionNop" | "logStart" | "logStop";

/** A step of an address space from one view to the next. */
export interface ViewChange {
  readonly asId: number;
  readonly before: RangeList<FlatRange, bigint>;
  readonly after: RangeList<FlatRange, bigint>;
  /** Ranges that only the first view has, and only the second. */
  readonly removed: readonly FlatRange[];
  readonly added: readonly FlatRange[];
}

function sectionOf(asId: number, range: FlatRange): MemorySection {
  const { start, size, region, offset, readonly, log, romd } = range;
  const memory = region.host !== undefined && (region.kind !== "romDevice" || romd);
  return {
    asId,
    gpa: start,
    size,
    name: region.name,
    kind: region.kind,
    offset,
    hva: memory ? region.host + Number(offset) : undefined,
    device: region.device,
    readonly,
    log,
  };
}

/** Equal but for the log. Mirrors flatrange_equal. */
function same(a: FlatRange, b: FlatRange): boolean {
  return (
    a.region === b.region &&
    a.start === b.start &&
    a.size === b.size &&
    a.offset === b.offset &&
    a.readonly === b.readonly &&
    a.romd === b.romd
  );
}

type Tell = (event: RegionEvent, range: FlatRange) => void;

/** One walk over both views, ascending: the deletes, or with `adding` all else. */
function pass(before: readonly FlatRange[], after: readonly FlatRange[], adding: boolean, tell: Tell): void {
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const [old, now] = [before[i], after[j]];
    if (old !== undefined && now !== undefined && same(old, now)) {
      if (adding) {
        tell("regionNop", now);
        if (now.log && !old.log) tell("logStart", now);
        if (old.log && !now.log) tell("logStop", now);
      }
      i++;
      j++;
    } else if (old !== undefined && (now === undefined || old.start <= now.start)) {
      if (!adding) tell("regionDel", old);
      i++;
    } else {
      if (adding) tell("regionAdd", now!);
      j++;
    }
  }
}

function sorted(ranges: readonly FlatRange[]): FlatRange[] {
  return [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1));
}

export class Listeners {
  /** Ascending by priority. */
  readonly #entries: Entry[] = [];
  /** Commits that are to be told, in the order of their publication: a listener may commit. */
  readonly #untold: { changes: readonly ViewChange[]; entries: readonly Entry[] }[] = [];
  #telling = false;

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  /** Add one, and tell it what is there: begin, regionAdd and logStart of each range, commit. */
  add(
    listener: MemoryListener,
    { asId: only, priority = 0 }: ListenerOptions,
    views: readonly (readonly FlatRange[])[],
  ): () => void {
    const entry = { listener, asId: only, priority };
    const at = this.#entries.findIndex((other) => other.priority > priority);
    this.#entries.splice(at < 0 ? this.#entries.length : at, 0, entry);
    const remove = () => {
      const known = this.#entries.indexOf(entry);
      if (known >= 0) this.#entries.splice(known, 1);
    };
    try {
      this.#inTurn(() => tellAll(listener, only, views));
    } catch (error) {
      remove();
      throw error;
    }
    return remove;
  }

  /**
   * Tell all what has changed: every listener everything, whatever one of them throws. What a listener commits is told
   * once this is told.
   * @throws the first error of a listener, after the last call
   */
  tell(changes: readonly ViewChange[]): void {
    // One that is added later knows of this from its first views.
    this.#untold.push({ changes, entries: [...this.#entries] });
    this.#inTurn(() => {});
  }

  /** Do `work`, and tell what is to be told: of calls inside of one another the outermost does. */
  #inTurn(work: () => void): void {
    if (this.#telling) {
      work();
      return;
    }
    this.#telling = true;
    try {
      callAll(this.#calls(work));
    } finally {
      this.#telling = false;
    }
  }

  /** `work`, and the calls for all commits that are to be told, also those that come meanwhile. */
  *#calls(work: () => void): Iterable<() => void> {
    yield work;
    for (let next = this.#untold.shift(); next !== undefined; next = this.#untold.shift()) {
      const entries = next.entries.filter((entry) => this.#entries.includes(entry));
      yield* callsFor(next.changes, entries);
    }
  }
}

/** Tell a new listener what is there. */
function tellAll(
  listener: MemoryListener,
  only: number | undefined,
  views: readonly Iterable<FlatRange>[],
): void {
  listener.begin?.();
  views.forEach((ranges, asId) => {
    if (only !== undefined && only !== asId) return;
    for (const range of ranges) {
      const section = sectionOf(asId, range);
      listener.regionAdd?.(section);
      if (range.log) listener.logStart?.(section);
    }
  });
  listener.commit?.();
}

/** The calls that tell listeners of a commit, in order. */
function* callsFor(changes: readonly ViewChange[], forward: readonly Entry[]): Iterable<() => void> {
  if (forward.length === 0) return;
  const reverse = [...forward].reverse();
  for (const { listener } of forward) yield () => listener.begin?.();
  // Who hears of ranges that stay makes a commit cost what there is.
  const all = forward.some(({ listener }) => listener.regionNop !== undefined);
  for (const { asId, before, after, removed, added } of changes) {
    const calls: (() => void)[] = [];
    const tell: Tell = (event, range) => {
      const section = sectionOf(asId, range);
      const order = event === "regionDel" || event === "logStop" ? reverse : forward;
      for (const { listener, asId: only } of order) {
        if (only === undefined || only === asId) calls.push(() => listener[event]?.(section));
      }
    };
    const [old, now] = all ? [before.items(), after.items()] : [sorted(removed), sorted(added)];
    pass(old, now, false, tell);
    pass(old, now, true, tell);
    yield* calls;
  }
  for (const { listener } of forward) yield () => listener.commit?.();
}

/** What a listener was told between begin and commit, as one message. */
export interface ListenerMessage {
  /** Function of the listener and its argument, in order. */
  readonly events: readonly (readonly [RegionEvent, MemorySection])[];
}

/** A listener that posts each commit as one message; `port` is a MessagePort, a Worker, a BroadcastChannel. */
export function postingListener(port: { postMessage(message: ListenerMessage): void }): MemoryListener {
  let events: (readonly [RegionEvent, MemorySection])[] = [];
  const keep = (event: RegionEvent) => (section: MemorySection) => {
    events.push([event, section]);
  };
  return {
    begin() {
      events = [];
    },
    regionAdd: keep("regionAdd"),
    regionDel: keep("regionDel"),
    regionNop: keep("regionNop"),
    logStart: keep("logStart"),
    logStop: keep("logStop"),
    commit: () => port.postMessage({ events }),
  };
}

/** Tell a listener in this thread what a `postingListener` has posted. */
export function deliver({ events }: ListenerMessage, listener: MemoryListener): void {
  listener.begin?.();
  for (const [event, section] of events) listener[event]?.(section);
  listener.commit?.();
}
