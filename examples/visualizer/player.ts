/**
 * Player: the position in a timeline, and how it advances. A tick is one update, or, after the last of a commit, the
 * step to the next commit. One by one, each tick publishes its update. As a list, ticks collect updates, and the tick
 * after the last publishes them. All calls to the machine are made in order, one at a time.
 *
 * Invariants between two ticks: the machine has layouts[step], and one by one `entry` updates more; the vCPUs look up
 * pages that are mapped before and after the next commit.
 */
import { withUpdate } from "../../src/map/layouts.js";
import type { Slot } from "../../src/replay/gaps.js";
import type { Mode } from "./board.js";
import { keptBetween } from "./holes.js";
import type { Machine, MachineState } from "./machine.js";
import { type Timeline, updatesBetween } from "./timeline.js";

/** Milliseconds from one tick to the next, at speed 1. */
const ENTRY_MS = 420;
const PUBLISH_MS = 900;

export interface PlayerState {
  readonly timeline: Timeline;
  readonly mode: Mode;
  readonly playing: boolean;
  readonly speed: number;
  /** Number of commits that are done. */
  readonly step: number;
  /** Number of updates of the next one that are done, or collected. */
  readonly entry: number;
  /** The slots of the engine. */
  readonly machine: MachineState;
  /** The error that has stopped the player. */
  readonly error?: string;
}

const EMPTY: MachineState = { slots: [], generation: 0, publications: 0, took: 0 };
const NOTHING: Timeline = {
  title: "",
  note: "",
  steps: [],
  layouts: [new Map()],
  extent: [],
  mappingsOf: () => [],
};

export class Player {
  readonly #machine: Machine;
  readonly #changed: (state: PlayerState) => void;
  #state: PlayerState = {
    timeline: NOTHING,
    mode: "oneByOne",
    playing: false,
    speed: 1,
    step: 0,
    entry: 0,
    machine: EMPTY,
  };
  #queue: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `changed` is called with every new state. */
  constructor(machine: Machine, changed: (state: PlayerState) => void) {
    this.#machine = machine;
    this.#changed = changed;
  }

  get state(): PlayerState {
    return this.#state;
  }

  /** Begin a timeline, with an empty map. */
  load(timeline: Timeline): Promise<void> {
    return this.#enqueue(async () => {
      this.#pause();
      await this.#goTo([]);
      this.#set({ timeline, step: 0, entry: 0 });
      await this.#watch();
    });
  }

  /** Jump to the end of commit number `step`, from any position, by one list. */
  seek(step: number): Promise<void> {
    return this.#enqueue(() => this.#seek(step));
  }

  setMode(mode: Mode): Promise<void> {
    return this.#enqueue(async () => {
      if (mode === this.#state.mode) return;
      // A commit that is half made one by one is undone; a collected one is dropped.
      await this.#seek(this.#state.step);
      this.#set({ mode });
      await this.#watch();
    });
  }

  setSpeed(speed: number): void {
    this.#set({ speed });
  }

  tick(): Promise<void> {
    return this.#enqueue(() => this.#tick());
  }

  play(): void {
    if (this.#state.playing || this.#state.error !== undefined) return;
    const { step, timeline } = this.#state;
    this.#set({ playing: true });
    if (step === timeline.steps.length) void this.seek(0);
    this.#schedule(0);
  }

  pause(): void {
    this.#pause();
  }

  /** Stop the player for good: something that it needs is broken. */
  fail(error: string): void {
    this.#pause();
    this.#set({ error });
  }

  #pause(): void {
    clearTimeout(this.#timer);
    if (this.#state.playing) this.#set({ playing: false });
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(async () => {
      await this.tick();
      const { playing, step, entry, timeline, speed } = this.#state;
      if (!playing) return;
      if (step === timeline.steps.length) this.#pause();
      else this.#schedule((entry === 0 ? PUBLISH_MS : ENTRY_MS) / speed);
    }, ms);
  }

  #set(change: Partial<PlayerState>): void {
    this.#state = { ...this.#state, ...change };
    this.#changed(this.#state);
  }

  /** Run calls in order, and none after one that failed. */
  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      if (this.#state.error !== undefined) return;
      try {
        await work();
      } catch (error) {
        this.fail(error instanceof Error ? error.message : String(error));
      }
    });
    return this.#queue;
  }

  async #tick(): Promise<void> {
    const { timeline, step, entry, mode } = this.#state;
    const next = timeline.steps[step];
    if (next === undefined) return;
    const update = next.updates[entry];
    if (update !== undefined) {
      if (mode === "oneByOne") await this.#commit([update]);
      this.#set({ entry: entry + 1 });
      return;
    }
    if (mode === "list") await this.#commit(next.updates);
    this.#set({ step: step + 1, entry: 0 });
    await this.#watch();
  }

  async #seek(wanted: number): Promise<void> {
    const { timeline } = this.#state;
    const step = Math.max(0, Math.min(timeline.steps.length, wanted));
    await this.#goTo([...timeline.layouts[step]!.values()]);
    this.#set({ step, entry: 0 });
    await this.#watch();
  }

  /** Go to any layout by one list; vCPUs look up the pages that stay meanwhile. */
  async #goTo(slots: readonly Slot[]): Promise<void> {
    const current = this.#state.machine.slots;
    await this.#machine.watch(keptBetween(current, slots), this.#state.mode);
    const updates = updatesBetween(new Map(current.map((slot) => [slot.slot, slot])), slots);
    if (updates.length > 0) await this.#commit(updates);
  }

  async #commit(updates: readonly Slot[]): Promise<void> {
    this.#set({ machine: await this.#machine.commit(updates) });
  }

  #watch(): Promise<void> {
    const { timeline, step, mode } = this.#state;
    const before = timeline.layouts[step]!;
    const after = timeline.layouts[step + 1] ?? before;
    return this.#machine.watch(keptBetween(before.values(), after.values()), mode);
  }
}

/** The layout under construction: as a list with all collected updates, one by one with the next update. */
export function draftOf({ timeline, step, entry, mode, machine }: PlayerState): Slot[] {
  const updates = timeline.steps[step]?.updates ?? [];
  if (mode === "list")
    return [...updates.slice(0, entry).reduce(withUpdate, timeline.layouts[step]!).values()];
  const slots = new Map(machine.slots.map((slot) => [slot.slot, slot]));
  return [
    ...updates
      .slice(entry, entry + 1)
      .reduce(withUpdate, slots)
      .values(),
  ];
}
