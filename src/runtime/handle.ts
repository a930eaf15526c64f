import type { WasmMemory, WasmModule } from "./wasmtypes.js";

/**
 * The handle of an engine: post it to a worker and call `MemslotEngine.attach` there. It can be cloned if the memory is
 * shared.
 */
export interface EngineHandle {
  /** The compiled core: the same build for all threads. */
  readonly module: WasmModule;
  /** The linear memory that holds the engine. */
  readonly memory: WasmMemory;
  /** Byte of the memory where the engine begins, a multiple of 64. */
  readonly base: number;
  /** Owner token for the thread that attaches, from `superviseWorker`; by default it gets a new one. */
  readonly owner?: number | undefined;
  /** Name of the Web Lock that the thread holds until it dies, from `superviseWorker` in a page. */
  readonly lifeLock?: string | undefined;
}
