/**
 * Lists at full speed over logged slots, while worker vCPUs write and are killed: after every so many lists the writers
 * are parked, and every page must be as it is in the copy of every harvester.
 */
import { Worker } from "node:worker_threads";
import {
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  MemslotEngine,
} from "memslots";
import { instantiateEngine } from "../../src/core/instantiate.js";
import { breakCarry, breakFold, breakSettle } from "../stress/broken.js";
import { bundle } from "../stress/bundle.js";
import { checkInvariants } from "../support/invariants.js";
import { random } from "../support/random.js";
import { PAGE } from "../support/region.js";
import { ConsumerHarvester, type Harvester, LogHarvester, RingHarvester } from "./harvester.js";
import { mapping, randomList, SLOTS } from "./lists.js";
import { COMMAND, GO, HOME_HVA, HOSTS, type Orders, PARK, STATE, WAYS, WRITES } from "./world.js";

interface Writer {
  readonly worker: Worker;
  readonly owner: number;
}

/** Dirty pages in bitmaps, in rings, or in rings with bitmaps for what finds them full. */
export type Tool = "bitmap" | "ring" | "ring and bitmap";

export interface PropertyOptions {
  readonly tool: Tool;
  readonly lists: number;
  readonly seed: number;
  readonly vcpus: number;
  /** Without what carries dirty pages across a list: the check of the check. */
  readonly breakCarry?: boolean;
  /** Without what folds a log that ends into the consumers: the check of the check. */
  readonly breakFold?: boolean;
  /** vCPUs that do not mark again what was taken: the check of the check. */
  readonly breakSettle?: boolean;
}

export interface PropertyReport {
  readonly lists: number;
  /** Writes of all vCPUs, pages copied by all harvesters, looks at rest. */
  readonly writes: number;
  readonly copied: number;
  readonly looks: number;
  /** Writers that were killed. */
  readonly kills: number;
  readonly overflows: number;
  /** Pages whose last write was in no harvest. */
  readonly lost: number;
}

const LISTS_PER_LOOK = 50;
/** Chance of a kill after a look. */
const KILL_CHANCE = 0.2;
const WATCHDOG_MS = 20_000;

async function createEngine({ tool, vcpus, ...broken }: PropertyOptions): Promise<MemslotEngine> {
  const created = await MemslotEngine.create({ maxSlots: SLOTS, maxVcpus: vcpus, maxPhysAddrBits: 32 });
  let { module } = created.handle;
  if (broken.breakCarry && tool === "bitmap") module = await breakCarry();
  if (broken.breakFold) module = await breakFold();
  const engine = await MemslotEngine.attach({ ...created.handle, module });
  if (tool !== "bitmap") engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
  if (tool === "ring and bitmap") engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
  else engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0);
  engine.setUserMemoryRegion(mapping(0, 0, 0, HOSTS));
  return engine;
}

/** The harvesters of a tool; those of one array complete each other's copy. */
function createHarvesters(engine: MemslotEngine, ram: Int32Array, options: PropertyOptions): Harvester[] {
  if (options.tool === "bitmap") return [new LogHarvester(engine, ram), new ConsumerHarvester(engine, ram)];
  const ring = new RingHarvester(engine, ram, options.breakCarry === true);
  if (options.tool === "ring") return [ring];
  const log = new LogHarvester(engine, ram);
  // One copy: what is in no ring is in a bitmap.
  Object.defineProperty(log, "copy", { value: ring.copy });
  return [ring, log];
}

/** Tell the workers and wait until all are there. */
function tell(control: Int32Array, vcpus: number, command: number): void {
  Atomics.store(control, COMMAND, command);
  Atomics.notify(control, COMMAND);
  for (let line = 0; line < vcpus; line++) {
    const other = command === PARK ? GO : PARK;
    while (Atomics.load(control, STATE + line) === other) {
      if (Atomics.wait(control, STATE + line, other, WATCHDOG_MS) === "timed-out") {
        throw new Error(`vCPU ${line} does not ${command === PARK ? "park" : "go"}`);
      }
    }
  }
}

/** Wait until so many more writes were marked ahead. */
function awaitWrites(control: Int32Array, count: number): void {
  const first = Atomics.load(control, WRITES);
  for (let seen = first; seen - first < count; seen = Atomics.load(control, WRITES)) {
    if (Atomics.wait(control, WRITES, seen, WATCHDOG_MS) === "timed-out") throw new Error("no vCPU writes");
  }
}

/** Which host pages are mapped now. */
function mappedPages(engine: MemslotEngine): (hostPage: number) => boolean {
  const mapped = new Uint8Array(HOSTS);
  for (const { userspaceAddr, memorySize } of engine.slots()) {
    const first = userspaceAddr / PAGE - HOME_HVA;
    mapped.fill(1, first, first + memorySize / PAGE);
  }
  return (hostPage) => mapped[hostPage] === 1;
}

export async function runProperty(options: PropertyOptions): Promise<PropertyReport> {
  const { lists, seed, vcpus, tool } = options;
  const engine = await createEngine(options);
  const ram = new Int32Array(new SharedArrayBuffer(HOSTS * 4));
  const control = new Int32Array(new SharedArrayBuffer((STATE + 2 * vcpus) * 4));
  const harvesters = createHarvesters(engine, ram, options);
  const scripts = await bundle("../dirty/writer.ts");
  const module = options.breakSettle ? await breakSettle() : engine.handle.module;
  const start = async (line: number, serial: number): Promise<Writer> => {
    const owner = instantiateEngine(module, engine.memory).attachOwner(engine.base);
    const orders = {
      handle: { ...engine.handle, module, owner },
      control,
      ram,
      line,
      vcpus,
      seed: seed + line + 1 + 1000 * serial,
      patient: tool === "ring",
      // All kinds of writers meet in the same pages.
      way: WAYS[line % WAYS.length]!,
      stale: options.breakSettle === true,
    };
    const worker = new Worker(scripts.url("writer.ts"), { workerData: orders satisfies Orders });
    await new Promise((resolve) => worker.once("online", resolve));
    return { worker, owner };
  };
  const writers = await Promise.all(Array.from({ length: vcpus }, (_, line) => start(line, 0)));
  const rng = random(seed);
  /** Kill a writer, wherever it is, and start another one in its place. */
  const kill = async (line: number, serial: number) => {
    const { worker, owner } = writers[line]!;
    await worker.terminate();
    engine.reap(owner);
    // It may have written a page and not told it any more.
    const untold = Atomics.exchange(control, STATE + vcpus + line, 0);
    const hva = (HOME_HVA + untold - 1) * PAGE;
    if (untold !== 0) for (const harvester of harvesters) harvester.retell(hva);
    writers[line] = await start(line, serial);
  };
  let [looks, lost, done, kills] = [0, 0, 0, 0];
  try {
    for (; done < lists; done++) {
      const list = randomList(engine.slots(), rng);
      const { dirty } = engine.setUserMemoryRegionList(list, { takeDirty: true });
      const isMapped = mappedPages(engine);
      for (const log of dirty!) for (const harvester of harvesters) harvester.take(log, isMapped);
      if (rng.chance(tool === "bitmap" ? 0.2 : 0.5))
        for (const harvester of harvesters) harvester.harvest(rng);
      if ((done + 1) % LISTS_PER_LOOK !== 0 && done + 1 !== lists) continue;
      // No ring is full, so that all run on; and then into open sections: what they write from now on is in the next.
      for (const harvester of harvesters) harvester.harvest();
      awaitWrites(control, 40);
      for (const harvester of harvesters) harvester.harvest();
      tell(control, vcpus, PARK);
      looks++;
      for (const harvester of harvesters) harvester.harvest();
      lost += harvesters.reduce((sum, harvester) => sum + harvester.lost().length, 0);
      for (const harvester of harvesters) harvester.copy.set(ram);
      checkInvariants(engine);
      tell(control, vcpus, GO);
      if (rng.chance(KILL_CHANCE)) await kill(rng.int(vcpus), ++kills);
    }
  } finally {
    await Promise.all(writers.map(({ worker }) => worker.terminate()));
    await scripts.remove();
  }
  return {
    lists: done,
    writes: ram.reduce((sum, count) => sum + count, 0),
    copied: harvesters.reduce((sum, { copied }) => sum + copied, 0),
    looks,
    kills,
    overflows: harvesters.reduce((sum, h) => sum + (h instanceof RingHarvester ? h.overflows : 0), 0),
    lost,
  };
}
