/**
 * The kernel's dirty_log_test: vCPUs write the number of the iteration to random pages of a slot of 1 GiB and
 * three pages, at the end of guest memory, while this thread harvests. With the vCPUs at rest a page that was told
 * dirty holds the number of the iteration, and one that was not holds less.
 *
 * The kernel's test allows a page that is told dirty and not written yet; here a page is marked after the write, so
 * that there is no exception.
 */
import { Worker } from "node:worker_threads";
import {
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_DIRTY_LOG_INITIALLY_SET,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
} from "memslots";
import { DIRTY_GFN_BYTES } from "../../src/core/layout.js";
import { type Bundle, bundle } from "../stress/bundle.js";
import { checkInvariants } from "../support/invariants.js";
import { region } from "../support/region.js";
import { DONE, FIRST_GFN, ITERATION, type Orders, PAGES, RESETS, SLOT, WORDS } from "./guestworld.js";

/** LOG_MODE_DIRTY_LOG, LOG_MODE_CLEAR_LOG, LOG_MODE_DIRTY_RING. */
export type Mode = "dirty-log" | "clear-log" | "dirty-ring";

export interface DirtyLogOptions {
  readonly mode: Mode;
  readonly iterations: number;
  readonly seed: number;
  readonly vcpus: number;
  /** Per vCPU and iteration. */
  readonly writes: number;
  /** Entries of a ring; the test of the kernel has 65,536. */
  readonly ringEntries?: number;
  /** Another core for the vCPUs: the check of the check. */
  readonly core?: WebAssembly.Module;
}

export interface DirtyLogReport {
  /** Pages reported dirty in all iterations, and harvests. */
  readonly dirty: number;
  readonly harvests: number;
  /** Times that a vCPU found its ring full and waited. */
  readonly ringFull: number;
  /** Pages reported dirty that hold an old number; pages not reported that hold the new one. */
  readonly stale: number;
  readonly lost: number;
}

const WATCHDOG_MS = 20_000;

/** The harvester of a mode: one call marks in `bitmap` what it has found. */
type Collect = (bitmap: Uint8Array) => void;

function merge(into: Uint8Array, bitmap: Uint8Array): void {
  const from = new BigUint64Array(bitmap.buffer, bitmap.byteOffset, bitmap.length / 8);
  const to = new BigUint64Array(into.buffer, into.byteOffset, into.length / 8);
  for (let i = 0; i < to.length; i++) if (from[i] !== 0n) to[i]! |= from[i]!;
}

/** Harvest all rings and reset them, and let vCPUs that wait for that go on. */
function collectRings(engine: MemslotEngine, control: Int32Array, vcpus: number): Collect {
  const rings = Array.from({ length: vcpus }, (_, i) => new DirtyRing(engine, i));
  return (bitmap) => {
    let harvested = 0;
    for (const ring of rings) {
      const { entries, overflow } = ring.harvest();
      if (overflow) throw new Error(`ring ${ring.vcpu} has overflown, although its vCPU heeds the limit`);
      for (const { slot, offset } of entries) {
        if (slot !== SLOT || offset >= PAGES)
          throw new Error(`an entry names page ${offset} of slot ${slot}`);
        bitmap[offset >> 3]! |= 1 << (offset & 7);
      }
      harvested += entries.length;
    }
    const reset = engine.resetDirtyRings();
    if (reset !== harvested) throw new Error(`${harvested} entries were harvested, ${reset} reset`);
    Atomics.add(control, RESETS, 1);
    Atomics.notify(control, RESETS);
  };
}

/** Switch the mode on, before the slot and the vCPUs are there. */
function enable(engine: MemslotEngine, mode: Mode, ringEntries: number): void {
  const bits = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
  if (mode === "clear-log") engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, bits);
  if (mode === "dirty-ring") engine.enableCap(KVM_CAP_DIRTY_LOG_RING, ringEntries * DIRTY_GFN_BYTES);
}

function collectorOf(engine: MemslotEngine, mode: Mode, control: Int32Array, vcpus: number): Collect {
  if (mode === "dirty-ring") return collectRings(engine, control, vcpus);
  if (mode === "dirty-log") return (bitmap) => merge(bitmap, engine.getDirtyLog(SLOT));
  return (bitmap) => {
    const log = engine.getDirtyLog(SLOT);
    engine.clearDirtyLog(SLOT, 0, PAGES, log);
    merge(bitmap, log);
  };
}

function startGuests(scripts: Bundle, options: DirtyLogOptions, orders: Omit<Orders, "line">): Worker[] {
  return Array.from(
    { length: options.vcpus },
    (_, line) => new Worker(scripts.url("guest.ts"), { workerData: { ...orders, line } satisfies Orders }),
  );
}

/** True once every vCPU has done its writes; waits for one of them for `ms`. */
function areDone(control: Int32Array, vcpus: number, iteration: number, ms: number): boolean {
  for (let line = 0; line < vcpus; line++) {
    const done = Atomics.load(control, DONE + line);
    if (done === iteration) continue;
    if (Atomics.wait(control, DONE + line, done, ms) === "timed-out") return false;
    if (Atomics.load(control, DONE + line) !== iteration) return false;
  }
  return true;
}

/** Compare the pages with what was reported of them: [dirty, stale, lost]. */
function verify(ram: Int32Array, bitmap: Uint8Array, iteration: number, untouched: boolean): number[] {
  let [dirty, stale, lost] = [0, 0, 0];
  for (let page = 0; page < PAGES; page++) {
    const value = ram[page]!;
    if (bitmap[page >> 3]! & (1 << (page & 7))) {
      dirty++;
      if (value !== iteration && !(untouched && value === 0)) stale++;
    } else if (value >= iteration) lost++;
  }
  return [dirty, stale, lost];
}

export async function runDirtyLogTest(options: DirtyLogOptions): Promise<DirtyLogReport> {
  const { mode, iterations, seed, vcpus, writes, ringEntries = 65536 } = options;
  const engine = await MemslotEngine.create({ maxVcpus: vcpus });
  enable(engine, mode, ringEntries);
  engine.setUserMemoryRegion(region(SLOT, FIRST_GFN, PAGES, 0, LOG));
  const ram = new Int32Array(new SharedArrayBuffer(PAGES * 4));
  const control = new Int32Array(new SharedArrayBuffer((WORDS + vcpus) * 4));
  const scripts = await bundle("../dirty/guest.ts");
  const collect = collectorOf(engine, mode, control, vcpus);
  const handle = { ...engine.handle, module: options.core ?? engine.handle.module };
  const workers = startGuests(scripts, options, { handle, control, ram, seed, writes });
  const sums = [0, 0, 0];
  let harvests = 0;
  let ringFull = 0;
  for (const worker of workers) worker.on("message", (count: number) => (ringFull += count));
  const ended = workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
  try {
    for (let iteration = 1; iteration <= iterations; iteration++) {
      const bitmap = new Uint8Array(Math.ceil(PAGES / 64) * 8);
      const end = performance.now() + WATCHDOG_MS;
      Atomics.store(control, ITERATION, iteration);
      Atomics.notify(control, ITERATION);
      while (!areDone(control, vcpus, iteration, 1)) {
        if (performance.now() > end) throw new Error(`iteration ${iteration} does not end`);
        collect(bitmap);
        harvests++;
      }
      collect(bitmap);
      const untouched = mode === "clear-log" && iteration === 1;
      verify(ram, bitmap, iteration, untouched).forEach((count, i) => {
        sums[i]! += count;
      });
    }
    Atomics.store(control, ITERATION, -1);
    Atomics.notify(control, ITERATION);
    await Promise.all(ended);
    checkInvariants(engine);
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
    await scripts.remove();
  }
  const [dirty, stale, lost] = sums as [number, number, number];
  return { dirty, harvests: harvests + iterations, ringFull, stale, lost };
}
