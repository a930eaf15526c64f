/**
 * A multi-core machine that boots Linux: guest RAM, the states of its harts, what its devices share, and the engine
 * in one shared memory, and a thread for each hart. This thread is the one that changes the map.
 *
 *   linear memory   [0, 64 KiB) unused | RAM | spare | expansions | harts | control lines | devices | engine, grows ->
 *
 * Host addresses of the slots are linear addresses, so that a translation can be loaded from at once.
 */
import { MemslotEngine, restoreEngine, type Slot, saveEngine } from "memslots";
import { CONTROL_BYTES, Control } from "./control.js";
import { Devices } from "./devices.js";
import { flatten, machineTree } from "./devicetree.js";
import { type HartExports, instantiateHart, NO_ENGINE } from "./exports.js";
import type { HartMessage, HartTask } from "./hartthread.js";
import { KERNEL_OFFSET, RAM } from "./map.js";
import { HARTS_MAX, HSM, POWER, SHARED_BYTES, Shared, WORD } from "./shared.js";
import type { ThreadTime } from "./threadtime.js";

const PAGE_BYTES = 65536;
const RAM_HVA = PAGE_BYTES;
/** Room for the engine to grow: dirty bitmaps, long lists. */
const ENGINE_PAGES = 512;
/** Kernel, initial RAM disk and devicetree begin at multiples of this. */
const ALIGNMENT = 0x20_0000;
const TREE_BYTES = 0x1_0000;
const SEED_BYTES = 32;

export interface MachineOptions {
  readonly harts: number;
  /** A multiple of 2 MiB. */
  readonly ramBytes: number;
  /** Bytes at the end of RAM that the guest's kernel is not told of; a multiple of 2 MiB, 0 if not given. */
  readonly bankBytes?: number;
  /** Host memory beside RAM, for slots that move; a multiple of 64 KiB. */
  readonly spareBytes?: number;
  readonly module: WebAssembly.Module;
  /** Makes a hart's thread. */
  readonly start: StartThread;
  /** What the console writes, as it comes. */
  readonly print: (bytes: Uint8Array) => void;
}

export interface HartThreadHandle {
  /** Ends it at once. */
  terminate(): unknown;
  /** What the system has given it so far; where that is not known there is no such function, or it says so. */
  time?(): ThreadTime | undefined;
}

export type StartThread = (
  task: HartTask,
  onMessage: (message: HartMessage) => void,
  onError: (error: unknown) => void,
) => HartThreadHandle;

export interface Guest {
  /** The kernel's image, as the boot protocol has it. */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly commandLine: string;
}

/** What the harts have done so far. */
export interface Counts {
  readonly instructions: number;
  readonly fetchFaults: number;
  readonly loadFaults: number;
  readonly storeFaults: number;
  readonly flushes: number;
  readonly fences: number;
  readonly misses: number;
}

const COUNTS = [
  "instructions",
  "fetchFaults",
  "loadFaults",
  "storeFaults",
  "flushes",
  "fences",
  "misses",
] as const satisfies readonly (keyof Counts & keyof HartExports)[];

/** A machine that stands still: its map, and all of its memory but the engine's, which is saved by itself. */
export interface Snapshot {
  readonly harts: number;
  readonly ramBytes: number;
  readonly spareBytes: number;
  /** The map, with its generations and dirty logs. */
  readonly engine: Uint8Array;
  /** What the machine's clock shows, ms. */
  readonly ms: number;
  readonly memory: Uint8Array;
}

/** How a machine ends: switched off, to be started again, or its threads were told to. */
export type MachineEnd = "off" | "reset" | "ended";

export class Machine {
  readonly engine: MemslotEngine;
  readonly memory: WebAssembly.Memory;
  readonly harts: number;
  readonly ramBytes: number;
  /** Linear addresses of RAM and of the spare memory. */
  readonly ramHva = RAM_HVA;
  readonly spareHva: number;
  readonly #options: MachineOptions;
  readonly #exports: HartExports;
  readonly #states: readonly number[];
  readonly #controls: readonly number[];
  readonly #expansions: number;
  readonly #shared: Shared;
  readonly #sharedAt: number;
  readonly #devices: Devices;
  readonly #threads: HartThreadHandle[] = [];
  /** When the machine's clock began, ms of the epoch. */
  #start = 0;
  readonly ended: Promise<MachineEnd>;
  #end!: (end: MachineEnd) => void;
  #fail!: (error: unknown) => void;

  private constructor(options: MachineOptions, exports: HartExports, engine: MemslotEngine, first: number) {
    const { harts, ramBytes } = options;
    this.#options = options;
    this.#exports = exports;
    this.engine = engine;
    this.memory = engine.memory;
    this.harts = harts;
    this.ramBytes = ramBytes;
    this.spareHva = RAM_HVA + ramBytes;
    this.#expansions = first;
    const states = first + exports.expansionBytes();
    const lines = states + harts * exports.hartBytes();
    this.#states = Array.from({ length: harts }, (_, hart) => states + hart * exports.hartBytes());
    this.#controls = Array.from({ length: harts }, (_, hart) => lines + hart * CONTROL_BYTES);
    this.#sharedAt = lines + harts * CONTROL_BYTES;
    this.#shared = new Shared(this.memory, this.#sharedAt);
    const mips = this.#states.map((state) => exports.mipAddress(state));
    this.#devices = new Devices(this.memory, mips, this.#shared, () => {});
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
  }

  /** A machine with an empty map, or with the one of a saved engine. */
  static async create(options: MachineOptions, saved?: Uint8Array): Promise<Machine> {
    const { harts, ramBytes, spareBytes = 0, module } = options;
    if (harts < 1 || harts > HARTS_MAX) throw new Error(`harts must be 1 to ${HARTS_MAX}, not ${harts}`);
    const first = RAM_HVA + ramBytes + spareBytes;
    // How large a hart is, the module says; it needs a memory for that.
    const probe = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const sizes = instantiateHart(module, probe, NO_ENGINE, () => 0);
    const rest = sizes.expansionBytes() + harts * (sizes.hartBytes() + CONTROL_BYTES) + SHARED_BYTES;
    const pages = Math.ceil((first + rest) / PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages + ENGINE_PAGES, shared: true });
    const engine =
      saved === undefined
        ? await MemslotEngine.create({ memory, maxVcpus: harts + 1 })
        : await restoreEngine(saved, { memory });
    return new Machine(
      options,
      instantiateHart(module, memory, NO_ENGINE, () => 0),
      engine,
      first,
    );
  }

  /** A slot over RAM at `offset` of it; its host memory is RAM's own if `hva` is not given. */
  ram(slot: number, offset: number, bytes: number, flags = 0, hva = this.ramHva + offset): Slot {
    return { slot, flags, guestPhysAddr: RAM + offset, memorySize: bytes, userspaceAddr: hva };
  }

  /** Put the guest into RAM and start the threads. Returns when the harts can run; `go` lets them. */
  async boot({ kernel, initrd, commandLine }: Guest): Promise<void> {
    const bytes = new Uint8Array(this.memory.buffer);
    const { bankBytes = 0 } = this.#options;
    const tree = this.ramBytes - bankBytes - ALIGNMENT;
    const disk = Math.floor((tree - initrd.length) / ALIGNMENT) * ALIGNMENT;
    bytes.set(kernel, this.ramHva + KERNEL_OFFSET);
    bytes.set(initrd, this.ramHva + disk);
    const flat = flatten(
      machineTree({
        harts: this.harts,
        ramBytes: this.ramBytes - bankBytes,
        commandLine,
        initrd: { start: RAM + disk, end: RAM + disk + initrd.length },
        seed: crypto.getRandomValues(new Uint8Array(SEED_BYTES)),
      }),
    );
    if (flat.length > TREE_BYTES) throw new Error(`the devicetree has ${flat.length} bytes`);
    bytes.set(flat, this.ramHva + tree);
    this.#exports.initExpansions(this.#expansions);
    const { words } = this.#shared;
    words.fill(0);
    words.fill(HSM.stopped, WORD.hart, WORD.hart + this.harts);
    words[WORD.hart] = HSM.startPending;
    words[WORD.startAt] = (RAM + KERNEL_OFFSET) | 0;
    words[WORD.startOpaque] = (RAM + tree) | 0;
    this.#start = performance.timeOrigin + performance.now();
    await this.#startThreads(false);
  }

  /** Linear addresses of all that a snapshot has: RAM, the spare memory, harts and devices. */
  #saved(): Uint8Array {
    return new Uint8Array(this.memory.buffer, RAM_HVA, this.#sharedAt + SHARED_BYTES - RAM_HVA);
  }

  /** The machine as it is. Its harts must be held; then they may go on. */
  save(): Snapshot {
    return {
      harts: this.harts,
      ramBytes: this.ramBytes,
      spareBytes: this.#options.spareBytes ?? 0,
      engine: saveEngine(this.engine),
      ms: performance.timeOrigin + performance.now() - this.#start,
      memory: this.#saved().slice(),
    };
  }

  /** The machine of a snapshot, in this process. Its harts are held. */
  static async restore(
    options: Omit<MachineOptions, "harts" | "ramBytes" | "spareBytes">,
    snapshot: Snapshot,
  ): Promise<Machine> {
    const { harts, ramBytes, spareBytes, engine } = snapshot;
    const machine = await Machine.create({ ...options, harts, ramBytes, spareBytes }, engine);
    machine.#saved().set(snapshot.memory);
    machine.#shared.store(WORD.told, 0);
    machine.#start = performance.timeOrigin + performance.now() - snapshot.ms;
    await machine.#startThreads(true);
    return machine;
  }

  async #startThreads(isRestored: boolean): Promise<void> {
    let running = this.harts;
    const ready = this.#states.map((_, hart) => {
      this.#controlOf(hart).reset();
      const task: HartTask = {
        handle: this.engine.handle,
        module: this.#options.module,
        hart,
        ramGpa: RAM,
        ramBytes: this.ramBytes,
        ramHva: this.ramHva,
        expansions: this.#expansions,
        states: this.#states,
        controls: this.#controls,
        shared: this.#sharedAt,
        start: this.#start,
        isRestored,
      };
      return new Promise<void>((resolve, reject) => {
        const onMessage = ({ kind }: HartMessage) => {
          if (kind === "ready") resolve();
          else if (kind === "output") this.drain();
          else if (--running === 0) this.#finish();
        };
        const onError = (error: unknown) => {
          reject(error);
          this.#fail(error);
        };
        this.#threads.push(this.#options.start(task, onMessage, onError));
      });
    });
    await Promise.all(ready);
  }

  #finish(): void {
    this.drain();
    const power = this.#shared.load(WORD.power);
    this.#end(power === POWER.off ? "off" : power === POWER.reset ? "reset" : "ended");
  }

  #controlOf(hart: number): Control {
    return new Control(this.memory, this.#controls[hart]!);
  }

  /** Hand on what the console has written. It comes by itself where this thread is free. */
  drain(): void {
    const bytes = this.#devices.takeOutput();
    if (bytes.length > 0) this.#options.print(bytes);
  }

  /** Type into the console. Returns how many bytes found room. */
  type(text: string): number {
    return this.#devices.type(new TextEncoder().encode(text));
  }

  /** Let the harts run. */
  go(): void {
    for (const hart of this.#states.keys()) this.#controlOf(hart).go();
  }

  /** Returns when all harts stand still. */
  hold(): void {
    for (const hart of this.#states.keys()) this.#controlOf(hart).hold();
  }

  /** The same without sleeping: for a page's own thread. */
  async holdAsync(): Promise<void> {
    await Promise.all(Array.from(this.#states.keys(), (hart) => this.#controlOf(hart).holdAsync()));
  }

  /** What a hart has done so far, or all of them; exact while they are held. */
  counts(hart?: number): Counts {
    const states = hart === undefined ? this.#states : [this.#states[hart]!];
    const sum = (count: (typeof COUNTS)[number]) =>
      states.reduce((total, state) => total + this.#exports[count](state), 0);
    return Object.fromEntries(COUNTS.map((count) => [count, sum(count)])) as unknown as Counts;
  }

  /** What the system has given a hart's thread so far, undefined if it does not tell. */
  threadTime(hart: number): ThreadTime | undefined {
    return this.#threads[hart]!.time?.();
  }

  /** Where a hart is. */
  pc(hart: number): bigint {
    return BigInt.asUintN(64, this.#exports.getPc(this.#states[hart]!));
  }

  /** End the harts and their threads. */
  async end(): Promise<void> {
    for (const hart of this.#states.keys()) this.#controlOf(hart).end();
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
    this.engine.close();
  }
}
