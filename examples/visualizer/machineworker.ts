/** The machine in a worker, so that the page never waits for a reader. */
import { type EngineHandle, MemslotEngine } from "memslots";
import { Board, type BoardBuffers } from "./board.js";
import { EngineMachine } from "./machine.js";
import { serve } from "./remote.js";

serve(async ({ handle, board }: { handle: EngineHandle; board: BoardBuffers }) => {
  const engine = await MemslotEngine.attach(handle);
  return new EngineMachine(engine, new Board(board), () => performance.now());
});
