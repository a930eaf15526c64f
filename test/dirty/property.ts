/**
 * Lists at full speed over logged slots, while worker vCPUs write: after every so many lists the writers are
 * parked, and every page must be as it is in the copy of every harvester.
 */
import { Worker } from "node:worker_threads";
import {
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  MemslotEngine,
} from "memslots";
import { breakCarry } from "../stress/broken.js";
import { bundle } from "../stress/bundle.js";
import { checkInvariants } from "../support/invariants.js";
import { random } from "../support/random.js";
import { ConsumerHarvester, type Harvester, LogHarvester, RingHarvester } from "./harvester.js";
import { mapping, randomList, SLOTS } from "./lists.js";
import { COMMAND, GO, HOME_HVA, HOSTS, type Orders, PAGE, PARK, STATE } from "./world.js";

/** Dirty pages in bitmaps, in rings, or in rings with bitmaps for what finds them full. */
export type Tool = "bitmap" | "ring" | "ring and bitmap";

export interface PropertyOptions {
  readonly tool: Tool;
  readonly lists: number;
  readonly seed: number;
  readonly vcpus: number;
  /** Without what carries dirty pages across a list: the check of the check. */
  readonly breakCarry?: boolean;
}

export interface PropertyReport {
  readonly lists: number;
  /** Writes of all vCPUs, pages copied by all harvesters, looks at rest. */
  readonly writes: number;
  readonly copied: number;
  readonly looks: number;
  readonly overflows: number;
  /** Pages whose last write was in no harvest. */
  readonly lost: number;
}

const LISTS_PER_LOOK = 100;
const WATCHDOG_MS = 20_000;

async function createEngine({ tool, vcpus, breakCarry: broken }: PropertyOptions): Promise<MemslotEngine> {
  const created = await MemslotEngine.create({ maxSlots: SLOTS, maxVcpus: vcpus });
  const module = broken && tool === "bitmap" ? await breakCarry() : created.handle.module;
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
  const control = new Int32Array(new SharedArrayBuffer((STATE + vcpus) * 4));
  const harvesters = createHarvesters(engine, ram, options);
  const scripts = await bundle("../dirty/writer.ts");
  const workers = Array.from({ length: vcpus }, (_, line) => {
    const orders = {
      handle: engine.handle,
      control,
      ram,
      line,
      seed: seed + line + 1,
      patient: tool === "ring",
    };
    return new Worker(scripts.url("writer.ts"), { workerData: orders satisfies Orders });
  });
  const rng = random(seed);
  let [looks, lost, done] = [0, 0, 0];
  try {
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("online", resolve))));
    for (; done < lists; done++) {
      const list = randomList(engine.slots(), rng);
      const { dirty } = engine.setUserMemoryRegionList(list, { takeDirty: true });
      const isMapped = mappedPages(engine);
      for (const log of dirty!) for (const harvester of harvesters) harvester.take(log, isMapped);
      if (rng.chance(tool === "bitmap" ? 0.2 : 0.5))
        for (const harvester of harvesters) harvester.harvest(rng);
      if ((done + 1) % LISTS_PER_LOOK !== 0 && done + 1 !== lists) continue;
      tell(control, vcpus, PARK);
      looks++;
      for (const harvester of harvesters) harvester.harvest();
      lost += harvesters.reduce((sum, harvester) => sum + harvester.lost().length, 0);
      for (const harvester of harvesters) harvester.copy.set(ram);
      checkInvariants(engine);
      tell(control, vcpus, GO);
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
    await scripts.remove();
  }
  return {
    lists: done,
    writes: ram.reduce((sum, count) => sum + count, 0),
    copied: harvesters.reduce((sum, { copied }) => sum + copied, 0),
    looks,
    overflows: harvesters.reduce((sum, h) => sum + (h instanceof RingHarvester ? h.overflows : 0), 0),
    lost,
  };
}
