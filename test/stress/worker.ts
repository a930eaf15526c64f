/**
 * The life of a worker: a reader or a writer, until it is killed.
 */
import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { KvmError, MemslotEngine } from "memslots";
import { random } from "../support/random.js";
import { Board, STATE } from "./board.js";
import { Committer } from "./committer.js";
import { Layouts } from "./layouts.js";
import { Probe } from "./probe.js";
import { checkSnapshot } from "./snapshots.js";
import type { Orders, Start, Station, Violation } from "./station.js";

/** Longest stay in a section that waits to be asked to leave, in rounds. */
const STAY_ROUNDS_MAX = 2000;
/** A stay that does not: longer than it takes from a writer's death to the next one's first look. */
const STUBBORN_ROUNDS = 10_000;
/** A worker that sees more than this is of no more use than one that says so. */
const VIOLATIONS_TOLD_MAX = 5;

async function arrive(orders: Orders): Promise<Station> {
  const [start] = (await once(parentPort!, "message")) as [Start];
  const engine = await MemslotEngine.attach(start.handle);
  const board = new Board(orders.board);
  let told = 0;
  const violation = (text: string) => {
    board.countViolation();
    if (told++ < VIOLATIONS_TOLD_MAX) parentPort!.postMessage({ violation: text } satisfies Violation);
  };
  const layouts = new Layouts(orders.seed);
  return { engine, board, line: orders.line, layouts, rng: random(orders.ownSeed), violation };
}

/** One section. */
function visit(probe: Probe, station: Station): void {
  const { rng } = station;
  const stubborn = rng.chance(0.003);
  const stays = rng.chance(0.05);
  const most = stubborn ? STUBBORN_ROUNDS : stays ? STAY_ROUNDS_MAX : 100;
  const rounds = stubborn || stays ? most : rng.chance(0.8) ? 1 + rng.int(6) : rng.int(most);
  probe.begin();
  for (let round = 0; round < rounds && !(stays && !stubborn && probe.kicked); round++) {
    const action = rng.int(24);
    if (action === 0 && !stubborn) probe.refresh();
    else if (action === 1) probe.batch();
    else if (action === 2) probe.nest();
    else if (action <= 4) probe.switchSpace();
    else if (action === 5 && rng.chance(0.02)) checkSnapshot(station);
    else probe.look(16);
  }
  probe.end();
}

/** Sleep until the map changes. */
function awaitChange({ engine }: Station): void {
  try {
    engine.waitGeneration(engine.generation(0) + 1, { timeout: 20 });
  } catch (error) {
    if (!(error instanceof KvmError && error.code === "ETIMEDOUT")) throw error;
  }
}

function read(station: Station): void {
  const { board, line, rng } = station;
  const probes = [new Probe(station, 0), new Probe(station, 1)] as const;
  for (;;) {
    board.parkIfTold(line);
    const probe = rng.pick(probes);
    const action = rng.int(100);
    if (action === 0) probe.renew();
    else if (action < 8) checkSnapshot(station);
    else if (action < 18) awaitChange(station);
    else if (action < 23) probe.alone();
    else if (action < 28) probe.batch();
    else if (action < 38) probe.blink();
    else visit(probe, station);
  }
}

/** Commit inside a section of one's own, which stays what it was. */
function commitInside(probe: Probe, committer: Committer): void {
  probe.begin();
  probe.look(16);
  // A barrier lets a section of the committing thread itself stay, so that it would be found behind the
  // barrier.
  if (!committer.nextIsBarrier) committer.commit(true);
  probe.look(16);
  probe.end();
}

async function write(station: Station): Promise<void> {
  const { board, line, rng } = station;
  const committer = new Committer(station);
  const probe = new Probe(station, 0);
  for (;;) {
    board.parkIfTold(line);
    const action = rng.int(100);
    if (action < 8) committer.other();
    else if (action < 12) commitInside(probe, committer);
    else if (action < 16) await committer.commitAsync(rng.chance(0.2));
    else committer.commit(rng.chance(0.1));
  }
}

const orders = workerData as Orders;
const station = await arrive(orders);
station.board.setState(orders.line, STATE.running);
if (orders.role === "reader") read(station);
else await write(station);
