/**
 * The run: a crew of readers and writers, deaths, and looks at the memory at rest; the main thread is a
 * writer that never sleeps, because it is the one that learns of the deaths.
 */
import { setTimeout as pass } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { MemslotEngine, type Slot } from "memslots";
import * as assert from "uvu/assert";
import { checkInvariants } from "../support/invariants.js";
import { random } from "../support/random.js";
import { Board, COUNTERS, type Counter, VCPUS_PER_LINE } from "./board.js";
import { breakGrace } from "./broken.js";
import { bundle } from "./bundle.js";
import { SLOT_IDS } from "./cells.js";
import { compileChecked } from "./checked.js";
import { Committer } from "./committer.js";
import { Crew, type Deaths } from "./crew.js";
import { EngineState } from "./enginestate.js";
import { ADDRESS_SPACES, Layouts } from "./layouts.js";
import { currentLayout } from "./snapshots.js";
import type { Role, Station } from "./station.js";
import type { Watched } from "./watchdog.js";

const WRITERS = 2;
/** Longest time between two deaths. */
const DEATHS_APART_MS = 200;
/** Violations that are told in words. */
const TOLD_MAX = 20;

export interface StressOptions {
  readonly seconds: number;
  /** Reader workers. */
  readonly vcpus: number;
  readonly seed: number;
  /** Use a core without a grace period. */
  readonly breakGrace?: boolean;
  /** Use the core with assertions. */
  readonly checked?: boolean;
  /** End with the first answer that is not its layout's. */
  readonly untilWrong?: boolean;
}

export interface Report {
  readonly seconds: number;
  readonly layouts: number;
  readonly counts: Readonly<Record<Counter, number>>;
  readonly deaths: Deaths;
  readonly looks: number;
  readonly violations: number;
  readonly told: readonly string[];
}

async function createEngine(options: StressOptions): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({
    addressSpaces: ADDRESS_SPACES,
    maxSlots: SLOT_IDS + 1,
    maxVcpus: (options.vcpus + WRITERS + 1) * VCPUS_PER_LINE,
  });
  if (options.breakGrace !== true && options.checked !== true) return engine;
  const module = await (options.checked === true ? compileChecked() : breakGrace());
  return MemslotEngine.attach({ ...engine.handle, module });
}

/** Everybody stands still: the notebook is whole, and the map is the layout that it says it is. */
async function look(crew: Crew, { engine, layouts, violation, board }: Station): Promise<void> {
  await crew.park();
  try {
    await engine.synchronizeAsync();
    checkInvariants(engine);
    const layout = currentLayout(engine);
    assert.is(engine.publications, layout, "publications");
    for (let asId = 0; asId < ADDRESS_SPACES; asId++) {
      const plain = ({ slot, flags, guestPhysAddr, memorySize, userspaceAddr }: Slot) =>
        `${slot} ${flags} ${guestPhysAddr} ${memorySize} ${userspaceAddr}`;
      assert.equal(engine.slots(asId).map(plain), layouts.slots(layout, asId).map(plain), `layout ${layout}`);
    }
  } catch (error) {
    board.countViolation();
    violation(`at rest: ${error instanceof Error ? error.stack : error}`);
  }
  crew.resume();
}

/** After a death: commits succeed, and nothing is left to repair. */
async function commitOn(committer: Committer, { board }: Station, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const { floor } = board;
    while (board.floor === floor) await committer.commitAsync(false);
  }
}

/** One death or two, some in the middle of a commit of the main thread, and the commits after them. */
async function strike(crew: Crew, committer: Committer, station: Station): Promise<void> {
  const { engine, rng } = station;
  const victims = [crew.choose(rng.chance(0.45) ? "writer" : "reader", rng)];
  if (rng.chance(0.2)) victims.push(crew.choose(rng.chance(0.5) ? "writer" : "reader", rng));
  const dead = crew.kill([...new Set(victims)]);
  if (rng.chance(0.5)) await commitOn(committer, station, 1);
  await dead;
  await commitOn(committer, station, 1 + rng.int(2));
  if (new EngineState(engine).header("orphaned") !== 0)
    station.violation("a commit left a dead writer's mark");
}

export async function runStress(options: StressOptions): Promise<Report> {
  const { seconds, vcpus, seed, untilWrong = false } = options;
  const told: string[] = [];
  const tell = (text: string) => {
    if (told.length < TOLD_MAX) told.push(text);
  };
  const board = Board.create(vcpus + WRITERS + 1);
  const violation = (text: string) => {
    board.countViolation();
    tell(text);
  };
  const engine = await createEngine(options);
  const rng = random(seed);
  const station: Station = { engine, board, line: 0, layouts: new Layouts(seed), rng, violation };
  const committer = new Committer(station);
  await commitOn(committer, station, 1);
  const scripts = await bundle("worker.ts", "watchdog.ts");
  const { memory, base } = engine;
  const watched: Watched = { board: board.handle, engine: { memory, base } };
  new Worker(scripts.url("watchdog.ts"), { workerData: watched }).unref();
  const roles: Role[] = Array.from({ length: vcpus + WRITERS }, (_, i) => (i < vcpus ? "reader" : "writer"));
  const crew = new Crew({ engine, board, seed, script: scripts.url("worker.ts"), roles, violation: tell });
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  let looks = 1;
  try {
    while (elapsed() < seconds && !(untilWrong && board.total("wrong") > 0)) {
      // Nothing is waited for here: the moment is what is random.
      await pass(rng.int(DEATHS_APART_MS));
      await strike(crew, committer, station);
      if (rng.chance(0.1)) {
        await look(crew, station);
        looks++;
      }
    }
    await look(crew, station);
  } finally {
    board.end();
    await crew.dismiss();
    await scripts.remove();
  }
  const counts = Object.fromEntries(COUNTERS.map((counter) => [counter, board.total(counter)]));
  return {
    seconds: elapsed(),
    layouts: currentLayout(engine),
    counts: counts as Record<Counter, number>,
    deaths: crew.deaths,
    looks,
    violations: board.violations,
    told,
  };
}
