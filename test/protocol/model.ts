/**
 * A configuration as a transition system: its threads, and every action that any of them can take in a state.
 */
import type { Configuration } from "./configuration.js";
import { Machine } from "./machine.js";
import { checkEnd, checkStandstill, checkState, type Property } from "./properties.js";
import { Reader } from "./reader.js";
import { Reaper } from "./reaper.js";
import type { Rule } from "./rules.js";
import { Symmetry } from "./symmetry.js";
import { DEAD, FINISHED, type Thread } from "./thread.js";
import { Writer } from "./writer.js";

/** An action is a number: kind << 8 | thread << 4 | choice. */
const STEP = 0;
const DEATH = 1;
const DRAIN = 2;

export class Model {
  readonly configuration: Configuration;
  readonly machine: Machine;
  /** The whole state, as words. */
  readonly state: Int32Array;
  readonly threads: Thread[] = [];
  readonly #readers: Reader[] = [];
  readonly #writers: Writer[] = [];
  readonly #reapers: Reaper[] = [];
  /** Commits once more when everybody else is finished: from then on nothing may be left over. */
  readonly #last: Writer;
  readonly #barrier: boolean;
  readonly #mortal: boolean[];
  /**
   * A mutation must be found by the harm that it does, so there the notebook of the dead stays what it is.
   */
  readonly #poison: boolean;
  readonly #symmetry: Symmetry;

  constructor(configuration: Configuration, missing?: Rule) {
    const { readers, writers, ownSection, reapers = 1, mortal = ["reader", "writer"] } = configuration;
    const machine = new Machine(configuration, missing);
    const { threads } = this;
    let base = machine.threadsStart;
    const add = <T extends Thread>(list: T[], thread: T): T => {
      threads.push(thread);
      list.push(thread);
      base += thread.bytes;
      return thread;
    };
    for (let i = 0; i < readers; i++) add(this.#readers, new Reader(machine, threads, base, configuration));
    for (const [i, operations] of writers.entries()) {
      const ownLine = ownSection && i === 0 ? machine.lines - 1 : -1;
      add(
        this.#writers,
        new Writer(machine, threads, `writer ${i}`, base, operations, configuration, ownLine),
      );
    }
    this.#last = add(
      this.#writers,
      new Writer(machine, threads, "last writer", base, ["commit"], configuration),
    );
    const gated = writers
      .flat()
      .some((operation) => operation === "pause" || operation.endsWith("barrier: true"));
    const wakes = gated || (configuration.hurry ?? false);
    for (let i = 0; i < reapers; i++) {
      add(this.#reapers, new Reaper(machine, threads, `reaper ${i}`, base, wakes));
    }
    this.configuration = configuration;
    this.#poison = missing === undefined;
    this.machine = machine;
    this.state = new Int32Array(machine.bytes.buffer, 0, (base + 3) >> 2);
    this.#barrier = configuration.barrier ?? false;
    this.#mortal = threads.map((thread) => thread !== this.#last && mortal.includes(thread.kind));
    this.#symmetry = new Symmetry(configuration, machine, this.#readers, this.#writers, this.#reapers);
  }

  /** Go to the first state. */
  reset(): void {
    this.machine.reset(this.configuration.kills);
    for (const thread of this.threads) thread.start();
  }

  /** Exchange alike threads so that states that differ only by their names become the same. */
  canonicalise(): void {
    this.#symmetry.canonicalise();
  }

  /**
   * Every action that may be possible now. With `reduced`, a thread whose next step no other can notice takes
   * it, or dies, before anybody else does anything: any run can be put into such an order without a
   * difference.
   */
  actions(reduced: boolean, into: number[]): void {
    into.length = 0;
    const first = reduced
      ? this.threads.find((thread) => thread.step?.quiet && !thread.awaitsDrain)
      : undefined;
    for (const thread of first === undefined ? this.threads : [first]) {
      const id = thread.index << 4;
      const { step } = thread;
      if (step !== undefined) {
        const choices = step.choices ?? 1;
        for (let choice = 0; choice < choices; choice++) into.push((STEP << 8) | id | choice);
        if (this.#mortal[thread.index] && this.machine.deaths > 0) into.push((DEATH << 8) | id);
      }
      if (thread.hasStore) into.push((DRAIN << 8) | id);
    }
  }

  /** Take an action; false if it is not possible, and then the state is of no use any more. */
  take(action: number): boolean {
    const { machine } = this;
    const thread = this.threads[(action >> 4) & 15]!;
    const kind = action >> 8;
    machine.violation = undefined;
    if (kind === DRAIN) thread.drain();
    else if (kind === DEATH) {
      machine.deaths -= 1;
      if (this.#poison && thread.step?.locked) machine.poisonNotebook();
      thread.die();
    } else {
      if (thread.awaitsDrain || (thread === this.#last && !this.#othersAreDone)) return false;
      machine.blocked = false;
      const next = thread.step!.run(thread as never, action & 15);
      if (next === undefined || machine.blocked) return false;
      thread.goTo(next);
    }
    return true;
  }

  /** True if the action brings its thread on: neither a death nor the end of a sleep that nobody ended. */
  isProgress(action: number): boolean {
    const thread = this.threads[(action >> 4) & 15]!;
    return action >> 8 === DRAIN || (action >> 8 === STEP && !thread.step?.asleep);
  }

  get isEnd(): boolean {
    return this.#last.place === FINISHED;
  }

  /** The property that the last action or the state itself breaks. */
  check(): Property | undefined {
    const { machine } = this;
    if (machine.violation === undefined) checkState(machine, this.#readers, this.#writers, this.#barrier);
    if (machine.violation === undefined && this.isEnd) checkEnd(machine);
    return machine.violation;
  }

  /** The property that a state without progress breaks. */
  checkStandstill(): Property | undefined {
    if (this.isEnd) return undefined;
    checkStandstill(this.machine, this.threads);
    return this.machine.violation;
  }

  get #othersAreDone(): boolean {
    const { threads } = this;
    for (const thread of threads) {
      if (thread.kind === "reaper") {
        if (thread.alive && !(thread as Reaper).isIdle) return false;
      } else if (thread !== this.#last && thread.place !== FINISHED && thread.place !== DEAD) return false;
      if (thread.hasStore) return false;
    }
    return true;
  }

  // ---- for traces ----

  describe(action: number): string {
    const thread = this.threads[(action >> 4) & 15]!;
    if (action >> 8 === DEATH) return `${thread.name} dies`;
    if (action >> 8 === DRAIN) return `${thread.name}: its store reaches the memory`;
    const { says } = thread.step!;
    return `${thread.name} ${typeof says === "string" ? says : says[action & 15]}`;
  }
}
