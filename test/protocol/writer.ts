/**
 * A writer: lock, build on copies, publish, wait for readers, recycle, unlock; as in assembly/commit.ts,
 * publish.ts and transaction.ts. Its steps are in lock.ts, recovery.ts, commit.ts and grace.ts.
 */
import { COMMIT_STEPS, type CommitLabel } from "./commit.js";
import type { Configuration, Operation } from "./configuration.js";
import { GRACE_STEPS, type GraceLabel } from "./grace.js";
import { LOCK_STEPS, type LockLabel } from "./lock.js";
import type { Machine } from "./machine.js";
import { OWN_STEPS, type OwnLabel } from "./ownsection.js";
import type { Phase } from "./phase.js";
import { RECOVERY_STEPS, type RecoveryLabel } from "./recovery.js";
import { type Program, Thread } from "./thread.js";

export type WriterLabel = LockLabel | RecoveryLabel | CommitLabel | GraceLabel | OwnLabel;
export type Next = WriterLabel | "finished" | undefined;

const OPERATION = 0;
const PHASE_NOW = 1;
const BUILT = 2;
const CHUNK = 3;
const LOOKED = 4;
const SLEEPS_AT = 5;
const EXPECTED = 6;
const HOLDER = 7;
const PROMISE = 8;
const HOLDS_GATE = 9;
const WAITED = 10;
const LEAVES = 11;
const VARIABLES = 12;

const PROGRAM: Program<WriterLabel, Writer, Next> = {
  ...LOCK_STEPS,
  ...COMMIT_STEPS,
  ...GRACE_STEPS,
  ...RECOVERY_STEPS,
  ...OWN_STEPS,
};

export class Writer extends Thread {
  readonly kind = "writer";
  readonly #operations: readonly Operation[];
  /** Line of the section that it is in all the time, -1 for none. */
  readonly ownLine: number;
  /** Waits may run out of time. */
  readonly #timeouts: boolean;
  /** It may be in a hurry. */
  readonly hurries: boolean;

  constructor(
    machine: Machine,
    crew: readonly Thread[],
    name: string,
    base: number,
    operations: readonly Operation[],
    configuration: Configuration,
    ownLine = -1,
  ) {
    super(machine, crew, name, base, VARIABLES, PROGRAM);
    this.#operations = operations;
    this.#timeouts = configuration.timeouts ?? false;
    this.hurries = configuration.hurry ?? false;
    this.ownLine = ownLine;
  }

  start(): void {
    if (this.ownLine >= 0) {
      const { bytes, root } = this.machine;
      bytes[this.machine.ownerWord(this.ownLine)] = this.token;
      bytes[this.machine.pinWord(this.ownLine)] = root;
    }
    this.goTo("tryLock");
  }

  get operation(): Operation {
    return this.#operations[this.variable(OPERATION)]!;
  }

  get waits(): boolean {
    return this.operation !== "commit, wait: false";
  }

  /** Others come again, and leave a hurry to the last reader from its begin on. */
  get sleeps(): boolean {
    return this.operation !== "synchronize, no sleep";
  }

  /** It has met a reader of a replaced layout, so that a hurry may be its own. */
  get waited(): boolean {
    return this.variable(WAITED) !== 0;
  }
  set waited(value: boolean) {
    this.setVariable(WAITED, value && this.hurries ? 1 : 0);
  }

  get mayEndHurry(): boolean {
    return this.waited && this.machine.keeps("a hurry ends with the wait");
  }

  /** Its time is up in a hurry, which it has left to the last reader; it looks once more. */
  get leaves(): boolean {
    return this.variable(LEAVES) !== 0;
  }
  set leaves(value: boolean) {
    this.setVariable(LEAVES, value ? 1 : 0);
  }

  /** It holds the gate for this one operation. */
  get holdsGate(): boolean {
    return this.variable(HOLDS_GATE) !== 0;
  }
  set holdsGate(value: boolean) {
    this.setVariable(HOLDS_GATE, value ? 1 : 0);
  }

  get mayGiveUp(): boolean {
    return this.#timeouts || !this.waits || !this.sleeps;
  }

  get phase(): Phase {
    return this.variable(PHASE_NOW) as Phase;
  }
  set phase(value: Phase) {
    this.setVariable(PHASE_NOW, value);
  }

  /** The root block that it builds, and its new chunk. */
  get built(): number {
    return this.variable(BUILT);
  }
  set built(value: number) {
    this.setVariable(BUILT, value);
  }

  get chunk(): number {
    return this.variable(CHUNK);
  }
  set chunk(value: number) {
    this.setVariable(CHUNK, value);
  }

  /** Lines that it has looked at, as a set. */
  get looked(): number {
    return this.variable(LOOKED);
  }
  set looked(value: number) {
    this.setVariable(LOOKED, value);
  }

  /** Line + 1 whose pin it waits for, and what the pin was. */
  get sleepsAt(): number {
    return this.variable(SLEEPS_AT);
  }
  set sleepsAt(value: number) {
    this.setVariable(SLEEPS_AT, value);
  }

  get expected(): number {
    return this.variable(EXPECTED);
  }
  set expected(value: number) {
    this.setVariable(EXPECTED, value);
  }

  /** Who had the lock when it tried. */
  get holder(): number {
    return this.variable(HOLDER);
  }
  set holder(value: number) {
    this.setVariable(HOLDER, value);
  }

  /**
   * The layout that it builds, or waits for: once the operation returns, nobody reads an older one. 0 if
   * there is none, or time was up.
   */
  get promise(): number {
    return this.variable(PROMISE);
  }
  set promise(value: number) {
    this.setVariable(PROMISE, value);
  }

  /** The operation returns to its caller. */
  returnToCaller(): Next {
    const { machine } = this;
    const operation = this.variable(OPERATION) + 1;
    if (this.waits && this.promise > machine.returned) machine.returned = this.promise;
    this.forget();
    if (operation < this.#operations.length) {
      this.setVariable(OPERATION, operation);
      return "tryLock";
    }
    return this.ownLine < 0 ? "finished" : "ownLookup";
  }

  override get sleepsOn(): number {
    if (!this.step?.asleep) return -1;
    return this.sleepsAt === 0 ? this.machine.lockWord : this.machine.pinWord(this.sleepsAt - 1);
  }

  protected override wakeUp(): void {
    this.goTo(this.sleepsAt === 0 ? "awakeFromLock" : "awakeFromPin");
  }
}
