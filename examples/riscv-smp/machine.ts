/**
 * A multi-core machine: guest RAM, the states of its harts, and the engine in one shared memory, and a thread
 * for each hart. This thread is the one that changes the map.
 *
 *   linear memory   [0, 64 KiB) unused | RAM | expansions | harts | control lines | engine, which grows
 *
 * Host addresses of the slots are linear addresses, so that a translation can be loaded from at once.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import { CONTROL_BYTES, Control } from "../riscv-linux/control.js";
import { type HartExports, instantiateHart, NO_ENGINE } from "../riscv-linux/exports.js";
import { threadTime } from "../riscv-linux/threadtime.js";
import type { Program } from "./asm/assembler.js";
import { RAM } from "./map.js";
import type { MapperPlace } from "./mapper.js";
import type { HartMessage, HartTask } from "./worker.js";

const PAGE_BYTES = 65536;
const RAM_HVA = PAGE_BYTES;
/** Room for the engine to grow: dirty bitmaps, long lists. */
const ENGINE_PAGES = 256;
const WORKER = new URL("./worker.ts", import.meta.url);

export interface MachineOptions {
  readonly harts: number;
  /** A multiple of 64 KiB. */
  readonly ramBytes: number;
  readonly module: WebAssembly.Module;
  /** Writes a line of the guest's UART. */
  readonly print?: (line: string, hart: number) => void;
}

/** What a hart has done so far; exact while it does not run. */
export interface HartCounts {
  readonly instructions: number;
  readonly fetchFaults: number;
  readonly loadFaults: number;
  readonly storeFaults: number;
  readonly flushes: number;
  readonly misses: number;
}

/** A worker from TypeScript: it does not inherit the loader of this thread. */
function startWorker(task: HartTask): Worker {
  const [file, parent] = [WORKER.href, import.meta.url].map((text) => JSON.stringify(text));
  const code = `import("tsx/esm/api").then(({ tsImport }) => tsImport(${file}, ${parent}));`;
  return new Worker(code, { eval: true, workerData: task });
}

export class Machine {
  readonly engine: MemslotEngine;
  readonly memory: WebAssembly.Memory;
  readonly harts: number;
  readonly ramBytes: number;
  /** Linear address of RAM. */
  readonly ramHva = RAM_HVA;
  /** The hart module over this memory, to look at harts. */
  readonly exports: HartExports;
  readonly states: readonly number[];
  readonly #options: MachineOptions;
  readonly #expansions: number;
  readonly #controls: readonly number[];
  readonly #workers: Worker[] = [];
  /** Their names for the system, by hart; undefined where it does not tell their times. */
  readonly #threads: (string | undefined)[] = [];
  readonly #ends: Promise<number | null>[] = [];

  private constructor(options: MachineOptions, exports: HartExports, engine: MemslotEngine) {
    this.#options = options;
    this.exports = exports;
    this.engine = engine;
    this.memory = engine.memory;
    this.harts = options.harts;
    this.ramBytes = options.ramBytes;
    this.#expansions = this.ramHva + options.ramBytes;
    exports.initExpansions(this.#expansions);
    const first = this.#expansions + exports.expansionBytes();
    const hartBytes = exports.hartBytes();
    this.states = Array.from({ length: options.harts }, (_, hart) => first + hart * hartBytes);
    const lines = first + options.harts * hartBytes;
    this.#controls = Array.from({ length: options.harts }, (_, hart) => lines + hart * CONTROL_BYTES);
  }

  static async create(options: MachineOptions): Promise<Machine> {
    const { harts, ramBytes, module } = options;
    // How large a hart is, the module says; it needs a memory for that.
    const probe = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const sizes = instantiateHart(module, probe, NO_ENGINE, () => 0);
    const rest = sizes.expansionBytes() + harts * (sizes.hartBytes() + CONTROL_BYTES);
    const fixed = RAM_HVA + ramBytes + rest;
    const pages = Math.ceil(fixed / PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages + ENGINE_PAGES, shared: true });
    // One more, because each thread may make one-shot calls, this one too.
    const engine = await MemslotEngine.create({ memory, maxVcpus: harts + 1 });
    return new Machine(
      options,
      instantiateHart(module, memory, NO_ENGINE, () => 0),
      engine,
    );
  }

  /** A slot over RAM at `offset` of it, where the guest has it if `gpa` is not given. */
  ram(slot: number, offset: number, bytes: number, flags = 0, gpa = RAM + offset) {
    const userspaceAddr = this.ramHva + offset;
    return { slot, flags, guestPhysAddr: gpa, memorySize: bytes, userspaceAddr };
  }

  load({ base, bytes }: Program): void {
    new Uint8Array(this.memory.buffer).set(bytes, this.ramHva + base - RAM);
  }

  /** The word of RAM at guest address `gpa`, as the reset map has it. */
  word(gpa: number): number {
    return new Uint32Array(this.memory.buffer)[(this.ramHva + gpa - RAM) / 4]!;
  }

  setWord(gpa: number, value: number): void {
    Atomics.store(new Int32Array(this.memory.buffer), (this.ramHva + gpa - RAM) / 4, value);
  }

  /** Control of one hart. */
  control(hart: number): Control {
    return new Control(this.memory, this.#controls[hart]!);
  }

  /**
   * Start the threads; the harts hold until they are told to go. Once they can: a thread needs this one to
   * become what it is to be.
   * @throws Error if a thread fails
   */
  async start(entry: number, mappers: readonly MapperPlace[] = []): Promise<void> {
    const ready = this.states.map((_, hart) => {
      this.control(hart).reset();
      const mapper = mappers[hart];
      const task: HartTask = {
        handle: this.engine.handle,
        module: this.#options.module,
        hart,
        entry,
        ramBytes: this.#options.ramBytes,
        ramHva: this.ramHva,
        expansions: this.#expansions,
        states: this.states,
        controls: this.#controls,
        ...(mapper === undefined ? {} : { mapper }),
      };
      const worker = startWorker(task);
      this.#workers.push(worker);
      this.#ends.push(this.#endOf(worker, hart));
      return once(worker, "message") as Promise<[HartMessage & { readonly thread?: string }]>;
    });
    for (const [{ thread }] of await Promise.all(ready)) this.#threads.push(thread);
  }

  #endOf(worker: Worker, hart: number): Promise<number | null> {
    return new Promise((resolve, reject) => {
      worker.on("message", (message: HartMessage) => {
        if ("line" in message) this.#options.print?.(message.line, hart);
        else if ("code" in message) resolve(message.code);
      });
      worker.on("error", reject);
      worker.on("exit", (code) => reject(new Error(`hart ${hart} exited with ${code}`)));
    });
  }

  /** How the guest of each hart ended: its code, null if the machine ended it. @throws Error if a thread fails */
  ended(): Promise<(number | null)[]> {
    return Promise.all(this.#ends);
  }

  /** Let harts run, all if not given. Returns when their threads do. */
  go(harts: readonly number[] = [...this.states.keys()]): void {
    for (const hart of harts) this.control(hart).go();
    for (const hart of harts) this.control(hart).awaitRunning();
  }

  hold(harts: readonly number[] = [...this.states.keys()]): void {
    for (const hart of harts) this.control(hart).hold();
  }

  counts(hart: number): HartCounts {
    const state = this.states[hart]!;
    const { instructions, fetchFaults, loadFaults, storeFaults, flushes, misses } = this.exports;
    return {
      instructions: instructions(state),
      fetchFaults: fetchFaults(state),
      loadFaults: loadFaults(state),
      storeFaults: storeFaults(state),
      flushes: flushes(state),
      misses: misses(state),
    };
  }

  /** For how long a hart's thread has waited for a processor so far, ms; 0 where the system does not tell. */
  waitedMs(hart: number): number {
    const thread = this.#threads[hart];
    return thread === undefined ? 0 : threadTime(thread).waitingMs;
  }

  /** Sum over all harts. */
  total(): HartCounts {
    const all = this.states.map((_, hart) => this.counts(hart));
    const sum = (field: keyof HartCounts) => all.reduce((total, counts) => total + counts[field], 0);
    return {
      instructions: sum("instructions"),
      fetchFaults: sum("fetchFaults"),
      loadFaults: sum("loadFaults"),
      storeFaults: sum("storeFaults"),
      flushes: sum("flushes"),
      misses: sum("misses"),
    };
  }

  /** End the harts and their threads. */
  async end(): Promise<void> {
    for (const hart of this.states.keys()) this.control(hart).end();
    await Promise.allSettled(this.#ends);
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    this.engine.close();
  }
}
