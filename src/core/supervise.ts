/** Supervision of workers: their reader lines and the writer lock are freed when they die. */
import { requireSharing } from "../runtime/capabilities.js";
import { awaitExit, awaitRelease, lifeLockFor, type SupervisedWorker } from "../runtime/death.js";
import type { EngineHandle } from "../runtime/handle.js";
import { reapThread } from "./attached.js";
import { type Engine, threadOf } from "./thread.js";

/**
 * Make a handle for one worker, with a separate owner token, and reap that owner when the worker is gone: at its 'exit'
 * event in Node, Bun and Deno; in a page when the Web Lock is released that `attach` takes in the worker. A writer of
 * this process that sleeps finds out by itself, on Linux in Node and Bun. The handle is for the one worker: another
 * thread is refused when it attaches with it.
 * @param worker the worker, or a function that makes it with its handle
 * @returns the handle, for `MemslotEngine.attach` in the worker; of a function, the worker that it has made
 * @throws TypeError if `worker` is none; Error if this runtime cannot share memory, or cannot detect a worker's death
 *
 * @example
 * const worker = new Worker(new URL("vcpu.js", import.meta.url), { type: "module" });
 * worker.postMessage(superviseWorker(engine, worker)); // the worker calls MemslotEngine.attach(handle)
 *
 * @example
 * const { Worker } = await import("node:worker_threads");
 * const url = new URL("vcpu.mjs", import.meta.url);
 * const worker = superviseWorker(engine, (handle) => new Worker(url, { workerData: { handle } }));
 */
export function superviseWorker<Made extends SupervisedWorker>(
  engine: Engine,
  worker: (handle: EngineHandle) => Made,
): Made;
export function superviseWorker(engine: Engine, worker: SupervisedWorker): EngineHandle;
export function superviseWorker(
  engine: Engine,
  worker: SupervisedWorker | ((handle: EngineHandle) => SupervisedWorker),
): SupervisedWorker | EngineHandle {
  requireSharing("superviseWorker");
  // The functions themselves: a thread that closes its engine still reaps its workers.
  const place = threadOf(engine).place();
  const { wasm, base, module, memory } = threadOf(engine);
  const isMaker = typeof worker === "function";
  const lifeLock = lifeLockFor(isMaker ? undefined : worker);
  const owner = wasm.attachOwner(base) >>> 0;
  const handle = { module, memory, base, owner, ...(lifeLock === undefined ? {} : { lifeLock }) };
  const died = () => {
    reapThread(place, place.owner, owner);
  };
  if (lifeLock !== undefined) awaitRelease(lifeLock, died);
  const made = isMaker ? worker(handle) : worker;
  if (lifeLock === undefined) awaitExit(made, died);
  return isMaker ? made : handle;
}
