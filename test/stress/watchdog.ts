/**
 * A thread that does nothing but look whether the others move. It ends the process, since a main thread that
 * is stuck inside the engine could not.
 */
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { Board, type BoardHandle } from "./board.js";
import { type EnginePlace, EngineState } from "./enginestate.js";

/** Without a section or without a commit for this long the run is stuck. */
const STUCK_MS = 20_000;
const LOOK_MS = 1000;
const STDERR = 2;

/** What the watchdog looks at. */
export interface Watched {
  readonly board: BoardHandle;
  readonly engine: EnginePlace;
}

const { board: handle, engine } = workerData as Watched;
const board = new Board(handle);
const progress = { sections: -1, commits: -1 };
const since = { sections: performance.now(), commits: performance.now() };

while (!board.awaitEnd(LOOK_MS)) {
  const now = performance.now();
  for (const counter of ["sections", "commits"] as const) {
    const total = board.total(counter);
    if (total !== progress[counter]) since[counter] = now;
    progress[counter] = total;
    if (now - since[counter] < STUCK_MS) continue;
    const lines = Array.from(
      { length: board.lines },
      (_, line) => `\n  line ${line}: ${board.lineText(line)}`,
    );
    const stuck = `watchdog: no ${counter} for ${STUCK_MS / 1000} s, ${total} before`;
    const crew = `command ${board.command}, floor ${board.floor}${lines.join("")}`;
    writeSync(STDERR, `${stuck}\n${crew}\n${new EngineState(engine).dump()}\n`);
    process.kill(process.pid, "SIGKILL");
  }
}
