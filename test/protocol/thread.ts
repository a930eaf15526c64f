/**
 * A thread of the model: where it is in its program, and its private variables, one byte each.
 *
 *   | place | variables | store buffer, if there are any: word + 1, value, fenced |
 */
import type { Machine, StoreBuffer } from "./machine.js";

/** Places that no program names: past its end, and past its life. */
export const FINISHED = 254;
export const DEAD = 255;

const BUFFER_BYTES = 3;

/** One atomic step: the label of the step to go on with, or undefined if it cannot be taken now. */
export interface Step<T extends Thread, Next = string | undefined> {
  /** For traces; one for each choice if they differ. */
  readonly says: string | readonly string[];
  /** `choice` counts from 0 to what `choices` says. */
  run(me: T, choice: number): Next;
  readonly choices?: number;
  /** Touches nothing but the notebook, under the lock: no other thread can tell when it happens. */
  readonly quiet?: true;
  /** Between taking the lock and giving it back. */
  readonly locked?: true;
  /** Asleep: only the end of a bounded sleep leads on, unless a notify moves the thread. */
  readonly asleep?: true;
  /** Inside a section: lookups may follow. */
  readonly inside?: true;
}

/** The steps of a kind of thread by their labels; `Next` are the labels that they may go on with. */
export type Program<Label extends string, T extends Thread, Next = Label | "finished" | undefined> = Readonly<
  Record<Label, Step<T, Next>>
>;

export abstract class Thread implements StoreBuffer {
  abstract readonly kind: "reader" | "writer" | "reaper";
  readonly machine: Machine;
  /** All threads, this one included. */
  readonly crew: readonly Thread[];
  /** Number among all threads. */
  readonly index: number;
  readonly name: string;
  /** Where its block begins. */
  readonly base: number;
  readonly bytes: number;
  readonly labels: readonly string[];
  readonly steps: readonly Step<never>[];
  readonly #places: ReadonlyMap<string, number>;
  readonly #buffer: number;

  constructor(
    machine: Machine,
    crew: readonly Thread[],
    name: string,
    base: number,
    variables: number,
    steps: Program<string, never>,
  ) {
    this.machine = machine;
    this.crew = crew;
    this.index = crew.length;
    this.name = name;
    this.base = base;
    this.bytes = 1 + variables + (machine.buffers ? BUFFER_BYTES : 0);
    this.labels = Object.keys(steps);
    this.steps = Object.values<Step<never>>(steps);
    this.#places = new Map([...this.labels.map((label, i) => [label, i] as const), ["finished", FINISHED]]);
    this.#buffer = base + 1 + variables;
  }

  /** What it claims lines and locks with. */
  get token(): number {
    return this.index + 1;
  }

  /** Go to the first step. */
  abstract start(): void;

  get place(): number {
    return this.machine.bytes[this.base]!;
  }
  set place(value: number) {
    this.machine.bytes[this.base] = value;
  }

  get alive(): boolean {
    return this.place < FINISHED;
  }

  /** The step it takes next, undefined if it is finished or dead. */
  get step(): Step<never> | undefined {
    return this.steps[this.place];
  }

  at(label: string): boolean {
    return this.place === this.#places.get(label);
  }

  goTo(label: string): void {
    const place = this.#places.get(label);
    if (place === undefined) throw new RangeError(`${this.name} has no step ${label}`);
    this.place = place;
  }

  /** Forget all variables: a state that differs in nothing that matters should be the same state. */
  forget(): void {
    this.machine.bytes.fill(0, this.base + 1, this.#buffer);
  }

  /** Die here. A store under way still arrives. */
  die(): void {
    this.forget();
    this.place = DEAD;
  }

  // ---- sleep ----

  /** The word that it sleeps on, -1 while it is awake. */
  get sleepsOn(): number {
    return -1;
  }

  /** A notify on that word. */
  protected wakeUp(): void {}

  /** It sleeps since before the last opening of a gate. */
  protected get hasMissedOpening(): boolean {
    return false;
  }

  notifyAll(word: number): void {
    for (const thread of this.crew) if (thread.sleepsOn === word) thread.wakeUp();
  }

  /**
   * Wake one of those that sleep on `word`; false if there is no sleeper number `choice`. A futex wakes in the order of
   * falling asleep, of which the model knows no more than whether it was before an opening.
   */
  notifyOne(word: number, choice: number): boolean {
    const all = this.crew.filter((thread) => thread.sleepsOn === word);
    const longest = all.filter((thread) => thread.hasMissedOpening);
    const sleepers = longest.length > 0 ? longest : all;
    sleepers[choice]?.wakeUp();
    return choice < Math.max(sleepers.length, 1);
  }

  /** An opening of the gate, or the end of a hurry, is counted. */
  protected missOpening(): void {}

  countOpening(): void {
    if (this.hasStore) this.machine.blocked = true;
    for (const thread of this.crew) thread.missOpening();
  }

  // ---- store buffer ----

  get hasStore(): boolean {
    return this.machine.buffers && this.machine.bytes[this.#buffer] !== 0;
  }

  /** It must not go on before its store is drained. */
  get awaitsDrain(): boolean {
    return this.machine.buffers && this.machine.bytes[this.#buffer + 2] !== 0;
  }

  buffer(word: number, value: number, fenced: boolean): void {
    const { bytes } = this.machine;
    bytes[this.#buffer] = word + 1;
    bytes[this.#buffer + 1] = value;
    bytes[this.#buffer + 2] = fenced ? 1 : 0;
  }

  drain(): void {
    const { bytes } = this.machine;
    bytes[bytes[this.#buffer]! - 1] = bytes[this.#buffer + 1]!;
    bytes.fill(0, this.#buffer, this.#buffer + BUFFER_BYTES);
  }

  protected variable(number: number): number {
    return this.machine.bytes[this.base + 1 + number]!;
  }

  protected setVariable(number: number, value: number): void {
    this.machine.bytes[this.base + 1 + number] = value;
  }
}
