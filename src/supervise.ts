/**
 * Proof of death. A worker of Node, Bun or Deno has an 'exit' event. A page's worker has none, so it holds a
 * Web Lock as long as it lives, and the page asks for the same lock: to be granted it is the proof.
 */
import type { EngineHandle } from "./engine.js";

/** A worker of node:worker_threads, or a page's Worker. */
export type SupervisedWorker =
  | { once(event: "exit", listener: () => void): unknown }
  | { postMessage(message: unknown): void; onmessageerror: unknown };

/** Milliseconds between two looks whether the worker has taken its lock. */
const LOOK_MS = 50;

function locks(): LockManager {
  const manager = globalThis.navigator?.locks;
  if (manager === undefined) throw new Error("superviseWorker needs the worker's 'exit' event, or Web Locks");
  return manager;
}

/** Call `died` once after the lock was held by the worker and is free again. */
async function awaitRelease(name: string, died: () => void): Promise<void> {
  const manager = locks();
  // A request before the worker's own would be granted at once and say that a worker died which has not
  // begun.
  while (!(await manager.query()).held?.some((lock) => lock.name === name)) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  await manager.request(name, async () => died());
}

/** The handle to post to `worker`; `died` is called when it is gone. */
export function supervise(worker: SupervisedWorker, handle: EngineHandle, died: () => void): EngineHandle {
  if (typeof worker === "object" && worker !== null && "once" in worker) {
    worker.once("exit", died);
    return handle;
  }
  if (typeof worker !== "object" || worker === null || !("postMessage" in worker)) {
    throw new TypeError("worker must be a Worker");
  }
  const lifeLock = `memslots-${crypto.randomUUID()}`;
  void awaitRelease(lifeLock, died);
  return { ...handle, lifeLock };
}

/** In the worker: hold the handle's lock, if it has one, until this thread ends. */
export function takeLifeLock({ lifeLock }: EngineHandle): Promise<void> {
  if (lifeLock === undefined) return Promise.resolve();
  return new Promise((taken, failed) => {
    const forever = () => {
      taken();
      return new Promise<never>(() => {});
    };
    locks().request(lifeLock, forever).catch(failed);
  });
}
