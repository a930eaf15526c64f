/**
 * One hart in a thread of its own: runs it in slices, one read section each. Nothing here is of Node or of a page.
 */
import { type EngineHandle, guestMemory, MemslotEngine, type Vcpu } from "memslots";
import { Control } from "./control.js";
import { Devices } from "./devices.js";
import { EXIT, type HartExports, instantiateHart } from "./exports.js";
import { TICKS_PER_MS } from "./map.js";
import { Sbi } from "./sbi.js";
import { HSM, POWER, Shared, WORD } from "./shared.js";

/** Instructions of a section: some tens of microseconds, so long may a commit or a fence have to wait. */
const SLICE = 4096;
/** Of the engine's TLB, behind the hart's own tables. */
const TLB_ENTRIES = 1024;
/** A hart that spins gives its processor away for so long; one that waits looks around so often. */
const PAUSE_MS = 0.02;
const WAIT_MS = 100;

export interface HartTask {
  readonly handle: EngineHandle;
  readonly module: WebAssembly.Module;
  readonly hart: number;
  /** Of the flat build: where RAM is. */
  readonly ramGpa: number;
  readonly ramBytes: number;
  readonly ramHva: number;
  readonly expansions: number;
  /** Addresses in linear memory, by hart. */
  readonly states: readonly number[];
  readonly controls: readonly number[];
  readonly shared: number;
  /** When the machine's clock began, ms of the epoch. */
  readonly start: number;
  /** The hart goes on where it was saved. */
  readonly isRestored: boolean;
}

export type HartMessage = { readonly kind: "ready" | "output" | "ended" };

export class HartThread {
  readonly #exports: HartExports;
  readonly #state: number;
  readonly #control: Control;
  readonly #shared: Shared;
  readonly #devices: Devices;
  readonly #sbi: Sbi;
  readonly #words: Int32Array;
  readonly #hsm: number;
  readonly #idle: number;
  readonly #mip: number;
  readonly #now: () => number;
  readonly #task: HartTask;

  private constructor(
    task: HartTask,
    engine: MemslotEngine,
    vcpu: Vcpu,
    post: (message: HartMessage) => void,
  ) {
    const { memory, module } = task.handle;
    const offset = performance.timeOrigin - task.start;
    this.#now = () => (performance.now() + offset) * TICKS_PER_MS;
    const raw = new WebAssembly.Instance(module, { env: { memory } }).exports;
    this.#exports = instantiateHart(task.module, memory, raw as WebAssembly.ModuleImports, this.#now);
    this.#state = task.states[task.hart]!;
    if (task.isRestored) this.#exports.resumeHart(this.#state, vcpu.reader);
    else this.#exports.initHart(this.#state, task.hart, vcpu.reader, task.expansions);
    this.#exports.useRam(this.#state, task.ramGpa, task.ramBytes, task.ramHva);
    this.#control = new Control(memory, task.controls[task.hart]!);
    this.#shared = new Shared(memory, task.shared);
    const mips = task.states.map((state) => this.#exports.mipAddress(state));
    this.#devices = new Devices(memory, mips, this.#shared, () => post({ kind: "output" }));
    const guest = guestMemory(engine, memory.buffer, { vcpu });
    this.#sbi = new Sbi(this.#exports, this.#shared, { memory, ...task }, { devices: this.#devices, guest });
    this.#words = new Int32Array(memory.buffer);
    this.#hsm = WORD.hart + task.hart;
    this.#idle = this.#exports.idleAddress(this.#state) >>> 2;
    this.#mip = this.#exports.mipAddress(this.#state) >>> 2;
    this.#task = task;
  }

  /** Be the hart of `task` until the machine is switched off, or its thread ends it. */
  static async run(task: HartTask, post: (message: HartMessage) => void): Promise<void> {
    const engine = await MemslotEngine.attach(task.handle);
    const vcpu = engine.vcpu({ tlbEntries: TLB_ENTRIES });
    const thread = new HartThread(task, engine, vcpu, post);
    Atomics.store(thread.#words, thread.#idle, 1);
    post({ kind: "ready" });
    thread.#loop();
    vcpu.release();
    engine.close();
    post({ kind: "ended" });
  }

  #loop(): void {
    const { run } = this.#exports;
    while (this.#mayRun()) {
      const exit = run(this.#state, SLICE);
      if (exit !== EXIT.budget) this.#handle(exit);
    }
  }

  /** False when the hart is to end; sleeps while it is held or stopped. */
  #mayRun(): boolean {
    if (this.#control.goes && this.#shared.words[this.#hsm] === HSM.started) {
      return this.#shared.words[WORD.power] === POWER.on;
    }
    // It executes nothing: others need not wait for its fences.
    Atomics.store(this.#words, this.#idle, 1);
    while (this.#control.mayRun() && this.#shared.load(WORD.power) === POWER.on) {
      const state = this.#shared.load(this.#hsm);
      if (state === HSM.startPending) this.#start();
      if (state !== HSM.stopped) {
        Atomics.store(this.#words, this.#idle, 0);
        return true;
      }
      Atomics.wait(this.#shared.words, this.#hsm, HSM.stopped, WAIT_MS);
    }
    return false;
  }

  #start(): void {
    const { words } = this.#shared;
    const at = words[WORD.startAt + this.#task.hart]! >>> 0;
    const opaque = words[WORD.startOpaque + this.#task.hart]! >>> 0;
    this.#exports.startHart(this.#state, at, opaque);
    Atomics.store(words, this.#hsm, HSM.started);
  }

  #handle(exit: number): void {
    if (exit === EXIT.sbi) this.#sbi.call();
    else if (exit === EXIT.load) this.#load();
    else if (exit === EXIT.store) this.#store();
    else if (exit === EXIT.pause) this.#control.yieldFor(PAUSE_MS);
    else this.#wait();
  }

  /** WFI: until an interrupt is pending that is enabled, or the timer is due. */
  #wait(): void {
    const enabled = this.#exports.enabledInterrupts(this.#state);
    const ms = (this.#exports.timerAt(this.#state) - this.#now()) / TICKS_PER_MS;
    Atomics.store(this.#words, this.#idle, 1);
    const pending = Atomics.load(this.#words, this.#mip);
    if ((pending & enabled) === 0 && ms > 0) {
      Atomics.wait(this.#words, this.#mip, pending, Math.min(ms, WAIT_MS));
    }
    Atomics.store(this.#words, this.#idle, 0);
  }

  #load(): void {
    const { exitAddress, completeLoad, refuseAccess } = this.#exports;
    const value = this.#devices.load(exitAddress(this.#state));
    if (value === undefined) refuseAccess(this.#state);
    else completeLoad(this.#state, BigInt(value));
  }

  #store(): void {
    const { exitAddress, exitValue, completeStore, refuseAccess } = this.#exports;
    const value = Number(BigInt.asUintN(32, exitValue(this.#state)));
    if (this.#devices.store(exitAddress(this.#state), value)) completeStore(this.#state);
    else refuseAccess(this.#state);
  }
}
