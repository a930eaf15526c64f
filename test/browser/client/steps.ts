/** Steps that a page has a worker do: each is called with the worker's scope and with what the page has posted. */
import {
  type CommitOptions,
  type EngineHandle,
  KvmError,
  MemslotEngine,
  type Slot,
  type Vcpu,
} from "memslots";
import { MERGE, pass, type Seen, SPLIT } from "./layouts.js";
import type { Facts } from "./scenarios.js";
import { count, PATIENT, sleepUntilSet, WORD } from "./words.js";

/** A worker's own things; `engine` and `vcpu` from its first step on. */
export interface Scope {
  readonly words: Int32Array;
  engine: MemslotEngine;
  vcpu: Vcpu;
}

function leaving(words: Int32Array): boolean {
  return Atomics.load(words, WORD.leave) !== 0;
}

export const STEPS = {
  /** Answers as soon as the worker has begun. */
  nothing(_scope: Scope): void {},

  async attach(scope: Scope, handle: EngineHandle): Promise<number> {
    scope.engine = await MemslotEngine.attach(handle);
    scope.vcpu = scope.engine.vcpu();
    return scope.engine.owner;
  },

  /** An engine of the worker's own. */
  async create(scope: Scope): Promise<boolean> {
    scope.engine = await MemslotEngine.create();
    scope.vcpu = scope.engine.vcpu();
    return scope.engine.memory.buffer instanceof ArrayBuffer;
  },

  /** The behaviour suites in this worker. */
  async behaviour(_scope: Scope): Promise<Facts> {
    const { runBehaviour } = await import("./behaviour.js");
    return runBehaviour();
  },

  /** A scenario with this worker in the place of the page. */
  async scenario(_scope: Scope, name: string): Promise<Facts> {
    const { ISOLATED_SCENARIOS } = await import("./scenarios.js");
    return ISOLATED_SCENARIOS[name]!();
  },

  enter({ vcpu }: Scope): boolean {
    return vcpu.enter();
  },

  exit({ vcpu }: Scope): void {
    vcpu.exit();
  },

  read({ vcpu }: Scope, gpas: readonly number[]): number[] {
    return gpas.map((gpa) => vcpu.gpaToHva(gpa));
  },

  /** Sleep inside a section, deaf to everything but the word. */
  staySleeping({ vcpu, words }: Scope): void {
    vcpu.enter();
    count(words, WORD.begun);
    sleepUntilSet(words, WORD.leave);
    vcpu.exit();
  },

  /** Translate inside one section for ever. */
  stayBusy({ vcpu, words }: Scope): never {
    vcpu.enter();
    count(words, WORD.begun);
    for (;;) vcpu.gpaToHva(0);
  },

  /** Stay in a section until a writer asks for its end. */
  stayUntilKicked({ vcpu, words }: Scope): void {
    vcpu.enter();
    count(words, WORD.begun);
    while (!vcpu.kicked && !leaving(words)) vcpu.gpaToHva(0);
    vcpu.exit();
  },

  /** Pass over all pages, a section at a time, by several vCPUs in turn, until told to leave. */
  watch({ engine, vcpu, words }: Scope, more: number): Seen {
    const seen: Seen = { accesses: 0, misses: 0, torn: 0 };
    const vcpus = [vcpu, ...Array.from({ length: more }, () => engine.vcpu())];
    while (!leaving(words)) {
      for (const { enter, exit, gpaToHva } of vcpus) {
        enter();
        pass(gpaToHva, seen);
        count(words, WORD.passes);
        exit();
      }
    }
    return seen;
  },

  /** Split and merge in turn with the form that sleeps, until told to leave, or for so many rounds. */
  commit({ engine, words }: Scope, rounds: number | "endless", options: CommitOptions = {}): number {
    let round = 0;
    while (!leaving(words) && round !== rounds) {
      engine.setUserMemoryRegionList(round++ % 2 === 0 ? SPLIT : MERGE, options);
      count(words, WORD.commits);
    }
    return round;
  },

  /** Split or merge, whichever is possible, for ever, beside others that do the same. */
  commitAny({ engine, words }: Scope): never {
    for (let round = 0; ; round++) {
      try {
        engine.setUserMemoryRegionList(round % 2 === 0 ? SPLIT : MERGE, PATIENT);
        count(words, WORD.commits);
      } catch (error) {
        if (!(error instanceof KvmError && error.code === "EINVAL")) throw error;
      }
    }
  },

  commitList({ engine }: Scope, list: readonly Slot[]): boolean {
    return engine.setUserMemoryRegionList(list, PATIENT).published;
  },

  pause({ engine }: Scope): void {
    engine.pauseVcpus();
  },

  resume({ engine }: Scope): void {
    engine.resumeVcpus();
  },

  waitGeneration({ engine }: Scope, generation: number): number {
    engine.waitGeneration(generation);
    return engine.generation();
  },

  markDirty({ vcpu }: Scope, gpas: readonly number[]): void {
    for (const gpa of gpas) vcpu.markDirty(gpa);
  },

  /** The error that this thread catches when it is refused. */
  refusal({ engine }: Scope): string {
    try {
      engine.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: 1, memorySize: 1, userspaceAddr: 0 });
    } catch (error) {
      return error instanceof KvmError ? error.code : String(error);
    }
    return "not refused";
  },
};

export type Steps = typeof STEPS;
