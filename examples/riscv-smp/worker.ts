/**
 * One hart in a thread of its own: runs it in slices, one read section each, and is its device model.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type EngineHandle, MemslotEngine } from "memslots";
import { Control } from "../riscv-linux/control.js";
import { EXIT, type HartExports, instantiateHart } from "../riscv-linux/exports.js";
import { TICKS_PER_MS } from "../riscv-linux/map.js";
import { threadName } from "../riscv-linux/threadtime.js";
import { Bus } from "./bus.js";
import { createFinisher, createInterrupter, createUart } from "./devices.js";
import { RAM } from "./map.js";
import { createMapper, type MapperPlace } from "./mapper.js";

/** Instructions of a section: some ten microseconds, so long may a commit have to wait. */
const SLICE = 8192;
/** 32 bytes each. */
const TLB_ENTRIES = 256;
/** A hart that spins gives its processor away for so long; one that waits looks around so often. */
const PAUSE_MS = 0.05;
const WFI_MS = 20;

export interface HartTask {
  readonly handle: EngineHandle;
  readonly module: WebAssembly.Module;
  readonly hart: number;
  readonly entry: number;
  readonly ramBytes: number;
  readonly ramHva: number;
  readonly expansions: number;
  /** Addresses in linear memory, by hart. */
  readonly states: readonly number[];
  readonly controls: readonly number[];
  readonly mapper?: MapperPlace;
}

export type HartMessage =
  | { readonly ready: true; readonly thread: string | undefined }
  | { readonly line: string }
  | { readonly code: number | null };

class HartThread {
  readonly #exports: HartExports;
  readonly #state: number;
  readonly #control: Control;
  readonly #words: Int32Array;
  readonly #mip: number;
  readonly #now: () => number;
  readonly #bus: Bus;
  /** Code that the guest ended with. */
  #code: number | null = null;

  constructor(task: HartTask, engine: MemslotEngine, reader: number) {
    const { memory, module } = task.handle;
    const raw = new WebAssembly.Instance(module, { env: { memory } }).exports;
    this.#now = () => performance.now() * TICKS_PER_MS;
    this.#exports = instantiateHart(task.module, memory, raw as WebAssembly.ModuleImports, this.#now);
    this.#state = task.states[task.hart]!;
    this.#exports.initHart(this.#state, task.hart, reader, task.expansions);
    this.#exports.useRam(this.#state, RAM, task.ramBytes, task.ramHva);
    this.#exports.startHart(this.#state, task.entry, 0);
    this.#control = new Control(memory, task.controls[task.hart]!);
    this.#words = new Int32Array(memory.buffer);
    const mips = task.states.map((state) => this.#exports.mipAddress(state));
    this.#mip = mips[task.hart]! / 4;
    const finish = (code: number) => {
      this.#code = code;
    };
    const uart = createUart((line) => post({ line }));
    const mapper = task.mapper === undefined ? [] : [createMapper(engine, task.mapper)];
    this.#bus = new Bus([createInterrupter(memory, mips), uart, createFinisher(finish), ...mapper]);
  }

  /** Until the guest or the machine ends it: the guest's code, or null. */
  run(): number | null {
    while (this.#code === null && this.#control.mayRun()) this.#handle(this.#exports.run(this.#state, SLICE));
    return this.#code;
  }

  #handle(exit: number): void {
    if (exit === EXIT.load) this.#load();
    else if (exit === EXIT.store) this.#store();
    else if (exit === EXIT.pause) this.#control.yieldFor(PAUSE_MS);
    else if (exit === EXIT.wfi) this.#wait();
  }

  /** WFI: until another hart sends an interrupt, or the timer is due. */
  #wait(): void {
    const ms = (this.#exports.timerAt(this.#state) - this.#now()) / TICKS_PER_MS;
    const pending = Atomics.load(this.#words, this.#mip);
    if ((pending & this.#exports.enabledInterrupts(this.#state)) !== 0 || ms <= 0) return;
    Atomics.wait(this.#words, this.#mip, pending, Math.min(ms, WFI_MS));
  }

  #load(): void {
    const { exitAddress, exitBytes, completeLoad, refuseAccess } = this.#exports;
    const value = this.#bus.load(exitAddress(this.#state), exitBytes(this.#state));
    if (value === undefined) refuseAccess(this.#state);
    else completeLoad(this.#state, BigInt(value));
  }

  #store(): void {
    const { exitAddress, exitBytes, exitValue, completeStore, refuseAccess } = this.#exports;
    const value = Number(BigInt.asUintN(32, exitValue(this.#state)));
    if (this.#bus.store(exitAddress(this.#state), exitBytes(this.#state), value)) completeStore(this.#state);
    else refuseAccess(this.#state);
  }
}

function post(message: HartMessage): void {
  parentPort?.postMessage(message);
}

const task = workerData as HartTask;
const engine = await MemslotEngine.attach(task.handle);
const vcpu = engine.vcpu({ tlbEntries: TLB_ENTRIES });
const thread = new HartThread(task, engine, vcpu.reader);
post({ ready: true, thread: threadName() });
const code = thread.run();
vcpu.release();
engine.close();
post({ code });
