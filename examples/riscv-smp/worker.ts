/**
 * One hart in a thread of its own: runs it in slices, one read section each, and is its device model.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type EngineHandle, MemslotEngine } from "memslots";
import { Bus } from "./bus.js";
import { Control } from "./control.js";
import { Clint, createFinisher, createUart } from "./devices.js";
import { EXIT, type HartExports, instantiateHart } from "./exports.js";
import { createMapper, type MapperPlace } from "./mapper.js";

/** Instructions of a section: some ten microseconds, so long may a commit have to wait. */
const SLICE = 8192;
/** Slices between two looks at the timer. */
const TICK_SLICES = 16;
/** A hart that spins gives its processor away for so long; one that waits looks around so often. */
const PAUSE_MS = 0.05;
const WFI_MS = 20;

export interface HartTask {
  readonly handle: EngineHandle;
  readonly module: WebAssembly.Module;
  readonly hart: number;
  readonly entry: number;
  readonly ramBytes: number;
  /** Addresses in linear memory, by hart. */
  readonly states: readonly number[];
  readonly controls: readonly number[];
  readonly mips: readonly number[];
  readonly compares: readonly number[];
  readonly start: number;
  readonly mapper?: MapperPlace;
}

export type HartMessage =
  | { readonly ready: true }
  | { readonly line: string }
  | { readonly code: number | null };

class HartThread {
  readonly #exports: HartExports;
  readonly #state: number;
  readonly #control: Control;
  readonly #clint: Clint;
  readonly #bus: Bus;
  /** Code that the guest ended with. */
  #code: number | null = null;

  constructor(task: HartTask, engine: MemslotEngine, reader: number) {
    const { memory, module } = task.handle;
    const raw = new WebAssembly.Instance(module, { env: { memory } }).exports;
    this.#exports = instantiateHart(task.module, memory, raw as WebAssembly.ModuleImports);
    this.#state = task.states[task.hart]!;
    this.#exports.initHart(this.#state, task.hart, task.entry, reader, task.ramBytes);
    this.#control = new Control(memory, task.controls[task.hart]!);
    this.#clint = new Clint({ ...task, memory });
    const finish = (code: number) => {
      this.#code = code;
    };
    const uart = createUart((line) => post({ line }));
    const mapper = task.mapper === undefined ? [] : [createMapper(engine, task.mapper)];
    this.#bus = new Bus([this.#clint, uart, createFinisher(finish), ...mapper]);
  }

  /** Until the guest or the machine ends it: the guest's code, or null. */
  run(): number | null {
    for (let slices = 0; this.#code === null && this.#control.mayRun(); slices++) {
      if (slices % TICK_SLICES === 0) this.#clint.tick();
      this.#handle(this.#exports.run(this.#state, SLICE));
    }
    return this.#code;
  }

  #handle(exit: number): void {
    if (exit === EXIT.load) this.#load();
    else if (exit === EXIT.store) this.#store();
    else if (exit === EXIT.pause) this.#control.yieldFor(PAUSE_MS);
    else if (exit === EXIT.wfi) {
      this.#clint.wait(WFI_MS);
      this.#clint.tick();
    }
  }

  #load(): void {
    const { exitAddress, exitBytes, completeLoad, refuseAccess } = this.#exports;
    const value = this.#bus.load(exitAddress(this.#state) >>> 0, exitBytes(this.#state));
    if (value === undefined) refuseAccess(this.#state);
    else completeLoad(this.#state, value);
  }

  #store(): void {
    const { exitAddress, exitBytes, exitValue, completeStore, refuseAccess } = this.#exports;
    const value = exitValue(this.#state) >>> 0;
    if (this.#bus.store(exitAddress(this.#state) >>> 0, exitBytes(this.#state), value)) {
      completeStore(this.#state);
    } else refuseAccess(this.#state);
  }
}

function post(message: HartMessage): void {
  parentPort?.postMessage(message);
}

const task = workerData as HartTask;
const engine = await MemslotEngine.attach(task.handle);
const vcpu = engine.vcpu();
const thread = new HartThread(task, engine, vcpu.reader);
post({ ready: true });
const code = thread.run();
vcpu.release();
engine.close();
post({ code });
