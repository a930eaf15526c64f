/**
 * The machine of examples/rust and examples/emscripten, seen from JavaScript: the engine in the module's own memory,
 * the guest's RAM there, and lists of slots while the module's threads run the guest.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setImmediate } from "node:timers/promises";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, MemslotEngine, type Slot } from "memslots";
import { assemble } from "../riscv-smp/asm/assembler.js";

/** What both modules export; addresses are bytes of their memory. */
export interface CpuExports {
  engine_base(): number;
  engine_bytes(): number;
  ram_base(): number;
  ram_bytes(): number;
  /** Of a hart: two words, state and faults, and 64 bits, instructions. */
  status_of(hart: number): number;
}

/** A module that is instantiated, and a way to run its harts. */
export interface Emulator {
  readonly memory: WebAssembly.Memory;
  readonly cpu: CpuExports;
  /** Run a hart in a thread: a vCPU of the engine at `header`, from guest address `pc` on. */
  start(hart: number, header: number, pc: number): void;
  /** End the threads. */
  end(): Promise<void>;
}

export const WAYS = ["one by one", "as lists"] as const;
export type Way = (typeof WAYS)[number];

export interface Result {
  readonly way: Way;
  readonly commits: number;
  /** Accesses that found no memory. */
  readonly faults: number;
  readonly instructions: bigint;
  readonly seconds: number;
  /** What does not add up; empty if all does. */
  readonly wrong: readonly string[];
}

/** Path of the core. */
export const CORE = createRequire(import.meta.url).resolve("memslots/engine.wasm");

/** The core, for the imports of a module: it is needed before there is an engine. */
export function coreModule(): WebAssembly.Module {
  return new WebAssembly.Module(readFileSync(CORE));
}

const RAM = 0x8000_0000;
const PAGE = 0x1000;
/** Offsets in the guest's RAM: the range, its function, its counters, its end; behind it a copy of its code. */
const [RANGE, FUNCTION, PAGES, END, COPY] = [0x10000, 0x14000, 0x18000, 0x20000, 0x30000] as const;
const [RUNNING, ENDED] = [1, 2] as const;

/** Commits after which one by one must have met a hole, or never does. */
const COMMITS_MAX = 1e6;
/** Time for the harts to start, or to end. */
const DEADLINE_MS = 60_000;

/** Run the guest on `harts` harts until the host has made so many changes, each one by one or as a list. */
export async function runGuest(emulator: Emulator, way: Way, harts: number, goal: number): Promise<Result> {
  const machine = await Machine.create(emulator, harts);
  try {
    await machine.start();
    const start = performance.now();
    const isDone = () =>
      machine.commits >= goal && (way === "as lists" || machine.faults > 0 || machine.commits >= COMMITS_MAX);
    while (!isDone()) machine.changeAround(way);
    await machine.stop();
    const { commits, faults, instructions } = machine;
    const seconds = (performance.now() - start) / 1000;
    return { way, commits, faults, instructions, seconds, wrong: machine.wrong() };
  } finally {
    await emulator.end();
  }
}

class Machine {
  commits = 0;
  readonly #emulator: Emulator;
  readonly #engine: MemslotEngine;
  readonly #harts: readonly number[];
  /** Address of the guest's RAM in the memory of the module. */
  readonly #ram: number;
  readonly #stop: number;

  /** The guest in its memory, and the map as it begins. */
  static async create(emulator: Emulator, harts: number): Promise<Machine> {
    const { memory, cpu } = emulator;
    const place = { memory, base: cpu.engine_base(), size: cpu.engine_bytes() };
    return new Machine(
      emulator,
      await MemslotEngine.create({ ...place, maxSlots: 8, maxVcpus: harts }),
      harts,
    );
  }

  private constructor(emulator: Emulator, engine: MemslotEngine, harts: number) {
    const { memory, cpu } = emulator;
    this.#emulator = emulator;
    this.#engine = engine;
    this.#harts = Array.from({ length: harts }, (_, hart) => hart);
    this.#ram = cpu.ram_base();
    const program = assemble(readFileSync(new URL("./guest.s", import.meta.url), "utf8"), RAM, { RAM });
    this.#stop = program.symbols.get("stop")! - RAM;
    const ram = new Uint8Array(memory.buffer, this.#ram, cpu.ram_bytes());
    ram.set(program.bytes);
    ram.copyWithin(COPY, RANGE, PAGES);
    engine.setUserMemoryRegionList([slotAt(this.#ram, 0, 0, RANGE), whole(this.#ram)]);
  }

  /** Resolves once every hart has counted. */
  async start(): Promise<void> {
    for (const hart of this.#harts) this.#emulator.start(hart, this.#engine.base, RAM);
    await until(() => this.#harts.every((hart) => Atomics.load(this.#counters(hart), 0) > 0), "start");
  }

  /** All changes, which end where they begin. */
  changeAround(way: Way): void {
    for (const list of changesOf(this.#ram)) {
      if (way === "as lists") this.#engine.setUserMemoryRegionList(list);
      else for (const region of list) this.#engine.setUserMemoryRegion(region);
      this.commits++;
    }
  }

  /** Resolves once every hart has seen that it is to end. */
  async stop(): Promise<void> {
    Atomics.store(new Int32Array(this.#emulator.memory.buffer, this.#ram + this.#stop, 1), 0, 1);
    await until(() => this.#harts.every((hart) => Atomics.load(this.#status(hart), 0) !== RUNNING), "end");
  }

  get faults(): number {
    return this.#harts.reduce((sum, hart) => sum + Atomics.load(this.#status(hart), 1), 0);
  }

  get instructions(): bigint {
    const { memory, cpu } = this.#emulator;
    const of = (hart: number) => new BigUint64Array(memory.buffer, cpu.status_of(hart) + 8, 1);
    return this.#harts.reduce((sum, hart) => sum + Atomics.load(of(hart), 0), 0n);
  }

  /** What does not add up: each hart ended, counted in memory as in its register, and wrote its page alone. */
  wrong(): string[] {
    const first = (PAGES - RANGE) / PAGE;
    const pages = this.#harts.map((hart) => first + hart);
    return [
      ...this.#harts.flatMap((hart) => {
        const [count, square, register] = this.#counters(hart);
        return [
          ...differs(`state of hart ${hart}`, Atomics.load(this.#status(hart), 0), ENDED),
          ...differs(`count of hart ${hart} in memory`, count, register),
          ...differs(`square of hart ${hart}`, square, Math.imul(register!, register!) >>> 0),
        ];
      }),
      ...differs("dirty pages", `${pagesOf(this.#engine.getDirtyLog(1))}`, `${pages}`),
    ];
  }

  /** State and faults. */
  #status(hart: number): Uint32Array {
    return new Uint32Array(this.#emulator.memory.buffer, this.#emulator.cpu.status_of(hart), 2);
  }

  /** The count, its square, and at the end the register that counts, too. */
  #counters(hart: number): Uint32Array {
    return new Uint32Array(this.#emulator.memory.buffer, this.#ram + PAGES + hart * PAGE, 3);
  }
}

/** A slot that maps [start, end) of the RAM from the same place of the module's memory, or from another one. */
function slotAt(ram: number, slot: number, start: number, end: number, flags = 0, from = start): Slot {
  return { slot, flags, guestPhysAddr: RAM + start, memorySize: end - start, userspaceAddr: ram + from };
}

const whole = (ram: number) => slotAt(ram, 1, RANGE, END, KVM_MEM_LOG_DIRTY_PAGES);
const gone = (slot: number): Slot => slotAt(0, slot, 0, 0);

/** The changes, around and back to one slot. */
function changesOf(ram: number): Slot[][] {
  const code = (copy: number) => [
    slotAt(ram, 1, RANGE, FUNCTION, 0, RANGE + copy),
    slotAt(ram, 2, FUNCTION, PAGES, KVM_MEM_READONLY, FUNCTION + copy),
  ];
  return [
    // Split in three: the loop, the function, the counters.
    [gone(1), ...code(0), slotAt(ram, 3, PAGES, END, KVM_MEM_LOG_DIRTY_PAGES)],
    // The code from its copy in other host memory, and back.
    [gone(1), gone(2), ...code(COPY - RANGE)],
    [gone(1), gone(2), ...code(0)],
    // Join.
    [gone(1), gone(2), gone(3), whole(ram)],
  ];
}

/** The pages of a dirty log. */
function pagesOf(log: Uint8Array): number[] {
  return Array.from({ length: log.length * 8 }, (_, page) => page).filter(
    (page) => log[page >> 3]! & (1 << (page & 7)),
  );
}

function differs(what: string, found: unknown, wanted: unknown): string[] {
  return found === wanted ? [] : [`${what}: ${found}, not ${wanted}`];
}

/** @throws Error if a condition does not come to hold in time */
async function until(holds: () => boolean, what: string): Promise<void> {
  const start = performance.now();
  while (!holds()) {
    if (performance.now() - start > DEADLINE_MS) throw new Error(`the harts do not ${what}`);
    await setImmediate();
  }
}
