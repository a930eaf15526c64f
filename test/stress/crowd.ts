/**
 * More vCPUs than processors: a writer commits without a pause while many vCPUs run sections, until every one of them
 * has ended so many. Nobody may starve, whoever sleeps for a hurry has to wake, and no lookup may fail.
 *
 *   node --import tsx test/stress/crowd.ts [--vcpus N] [--sections N]
 *   taskset -c 0 node --import tsx test/stress/crowd.ts
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { MemslotEngine, type Slot } from "memslots";
import { HEADER } from "../../src/core/layout.js";
import { bundle } from "./bundle.js";
import { CROWD_BYTES, CrowdBoard, type CrowdTask, HOST, PAGE, PAGES } from "./crowdboard.js";

/** Nobody ends a section for so long: somebody sleeps for ever. */
const STUCK_MS = 60_000;

export interface CrowdOptions {
  readonly vcpus: number;
  /** Sections that each vCPU has to end, while the writer sleeps for its readers, and again while it does not. */
  readonly sections: number;
  readonly hurry?: boolean;
}

export interface CrowdReport {
  readonly processors: number;
  readonly commits: number;
  /** Milliseconds. */
  readonly commitP50: number;
  readonly commitP99: number;
  /** Times that a gate was opened or a hurry ended. */
  readonly openings: number;
  /** Sections of the slowest and of the fastest vCPU. */
  readonly slowest: number;
  readonly fastest: number;
  /** Longest time that a vCPU had between the ends of two sections, in milliseconds. */
  readonly longestGap: number;
  readonly wrong: number;
}

function region(slot: number, page: number, npages: number): Slot {
  const guestPhysAddr = page * PAGE;
  return { slot, flags: 0, guestPhysAddr, memorySize: npages * PAGE, userspaceAddr: HOST + guestPhysAddr };
}

const GONE = (slot: number): Slot => region(slot, 0, 0);
const WHOLE = [region(0, 0, PAGES)];
const SPLIT = [GONE(0), region(1, 0, PAGES / 2), region(2, PAGES / 2, PAGES / 2)];
const MERGE = [GONE(1), GONE(2), ...WHOLE];

/** @throws Error if a vCPU ends no section for a minute */
export async function runCrowd({ vcpus, sections, hurry = true }: CrowdOptions): Promise<CrowdReport> {
  const engine = await MemslotEngine.create({ maxVcpus: vcpus, hurry });
  engine.setUserMemoryRegionList(WHOLE);
  const board = new CrowdBoard(new SharedArrayBuffer(CROWD_BYTES * (vcpus + 1)), vcpus);
  const scripts = await bundle("crowdworker.ts");
  const workers = Array.from({ length: vcpus }, (_, number) => {
    const workerData: CrowdTask = { handle: engine.handle, board: board.buffer, vcpus, number };
    return new Worker(scripts.url("crowdworker.ts"), { workerData });
  });
  const ends = workers.map((worker) => once(worker, "exit"));
  const commits: number[] = [];
  try {
    await Promise.all(workers.map((worker) => once(worker, "message")));
    board.start();
    const commit = async (sleeps: boolean): Promise<void> => {
      const list = commits.length % 2 === 0 ? SPLIT : MERGE;
      const start = performance.now();
      if (sleeps) engine.setUserMemoryRegionList(list);
      else await engine.setUserMemoryRegionListAsync(list);
      commits.push(performance.now() - start);
    };
    for (const sleeps of [true, false]) {
      const target = board.slowest + sections;
      let seen = 0;
      let since = performance.now();
      while (board.slowest < target) {
        await commit(sleeps);
        if (board.slowest !== seen) {
          seen = board.slowest;
          since = performance.now();
        }
        if (performance.now() - since > STUCK_MS) throw new Error(`a vCPU stays at ${seen} sections`);
      }
    }
  } finally {
    board.stop();
    await Promise.all(ends);
    await scripts.remove();
  }
  const words = new Uint32Array(engine.memory.buffer);
  const sorted = [...commits].sort((a, b) => a - b);
  const quantile = (p: number) => sorted[Math.floor((sorted.length - 1) * p)]!;
  return {
    processors: availableParallelism(),
    commits: commits.length,
    commitP50: quantile(0.5),
    commitP99: quantile(0.99),
    openings: words[(engine.base + HEADER.openings) / 4]!,
    slowest: board.slowest,
    fastest: board.fastest,
    longestGap: board.longestGap,
    wrong: board.wrong,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({
    options: {
      vcpus: { type: "string", default: "16" },
      sections: { type: "string", default: "2000" },
      "no-hurry": { type: "boolean", default: false },
    },
  });
  const report = await runCrowd({
    vcpus: Number(values.vcpus),
    sections: Number(values.sections),
    hurry: !values["no-hurry"],
  });
  console.log(JSON.stringify(report));
  process.exitCode = report.wrong > 0 ? 1 : 0;
}
