/**
 * Proof of death. A worker of Node, Bun or Deno has an 'exit' event. A page's worker has none, so it holds a
 * Web Lock as long as it lives and says so on a channel of the same name; then the page asks for the lock
 * too, and to be granted it is the proof.
 */
import type { EngineHandle } from "./engine.js";

/** A worker of node:worker_threads, as far as it is needed here. */
export interface ExitingWorker {
  /** Call `listener` once when the thread is gone. */
  once(event: "exit", listener: () => void): unknown;
}

/** A page's Worker, as far as it is needed here. */
export interface PostedWorker {
  /** Only looked for. */
  postMessage(message: unknown): void;
  /** Only looked for: what a MessagePort of node:worker_threads has not. */
  onmessageerror: unknown;
}

/** A worker of node:worker_threads, or a page's Worker. */
export type SupervisedWorker = ExitingWorker | PostedWorker;

/** Life locks of this thread: it may attach more than once, and a lock is taken once. */
const taken = new Map<string, Promise<void>>();

function locks(): LockManager {
  const manager = globalThis.navigator?.locks;
  if (manager === undefined) throw new Error("superviseWorker needs the worker's 'exit' event, or Web Locks");
  return manager;
}

/** Call `died` once after the lock was held by the worker and is free again. */
function awaitRelease(name: string, died: () => void): void {
  const manager = locks();
  const channel = new BroadcastChannel(name);
  // A request before the worker's own would be granted at once and say that a worker died which has not
  // begun.
  channel.onmessage = () => {
    channel.close();
    void manager.request(name, async () => died());
  };
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
  awaitRelease(lifeLock, died);
  return { ...handle, lifeLock };
}

/** Hold the lock until this thread ends. */
function hold(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const forever = () => {
      const channel = new BroadcastChannel(name);
      channel.postMessage("held");
      channel.close();
      resolve();
      return new Promise<never>(() => {});
    };
    locks().request(name, forever).catch(reject);
  });
}

/** In the worker: hold the handle's lock, if it has one, until this thread ends. */
export async function takeLifeLock({ lifeLock }: EngineHandle): Promise<void> {
  if (lifeLock === undefined) return;
  let lock = taken.get(lifeLock);
  if (lock === undefined) taken.set(lifeLock, (lock = hold(lifeLock)));
  await lock;
}
