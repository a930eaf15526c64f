/**
 * A reader thread: looks the same keys up again and again, in the mode that the board names. The lists committed
 * meanwhile move no page, so the sum of each chunk is known.
 */
import { parentPort } from "node:worker_threads";
import { type EngineHandle, MemslotEngine } from "memslots";
import { instantiateLoops } from "../engine/wasm.js";
import { Board, QUIT, SECTIONS } from "./board.js";

/** Start data of a reader. */
export interface ReaderTask {
  readonly handle: EngineHandle;
  readonly number: number;
  /** Addresses in the engine's memory: board, lock word, keys. */
  readonly board: number;
  readonly readers: number;
  readonly lock: number;
  readonly keys: number;
  /** Keys of a chunk, and the sum of their host addresses. */
  readonly count: number;
  readonly sum: number;
}

parentPort!.once("message", async (task: ReaderTask) => {
  const { handle, number, readers, lock, keys, count, sum } = task;
  const engine = await MemslotEngine.attach(handle);
  const loops = await instantiateLoops(handle.memory);
  const { reader } = engine.vcpu();
  const board = new Board(handle.memory.buffer, task.board, readers);
  parentPort!.postMessage("ready");
  for (let mode = board.awaitMode(number); mode !== QUIT; mode = board.awaitMode(number)) {
    const got =
      mode === SECTIONS
        ? loops.translateInSections(reader, keys, count)
        : loops.translateLocked(reader, lock, keys, count);
    board.countChunk(number, got === sum);
  }
  parentPort!.close();
});
