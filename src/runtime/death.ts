/**
 * Proof of death. A worker of Node, Bun or Deno has an 'exit' event. A page's worker has none. It takes a Web Lock,
 * holds it until it dies, and announces that on a channel of the same name. The page then requests the lock too; the
 * grant is the proof.
 */
import type { EngineHandle } from "./handle.js";

/** The part of a worker of node:worker_threads that is used here. */
export interface ExitingWorker {
  /** Call `listener` once when the thread is gone. */
  once(event: "exit", listener: () => void): unknown;
}

/** The part of a page's Worker that is used here. */
export interface PostedWorker {
  /** Not called; its presence identifies a worker. */
  postMessage(message: unknown): void;
  /** Not read; a MessagePort of node:worker_threads has none. */
  onmessageerror: unknown;
}

/** A worker of node:worker_threads, or a page's Worker. */
export type SupervisedWorker = ExitingWorker | PostedWorker;

/** Life locks that this thread holds: it may attach several times, and takes each lock once. */
const taken = new Map<string, Promise<void>>();

/**
 * Name of the Web Lock that a worker must hold, see `takeLifeLock`; undefined where it has an 'exit' event.
 * @param worker the worker; undefined if it is not made yet, and then the runtime's own kind of workers decides
 * @throws TypeError if it is no worker; Error without an event and without Web Locks
 */
export function lifeLockFor(worker: SupervisedWorker | undefined): string | undefined {
  if (worker === undefined ? !hasPageWorkers() : hasExit(worker)) return undefined;
  locks();
  return `memslots-${crypto.randomUUID()}`;
}

/** Call `died` once after the exit of `worker`. @throws TypeError if it is no worker, or has no 'exit' event */
export function awaitExit(worker: SupervisedWorker, died: () => void): void {
  if (!hasExit(worker)) throw new TypeError("worker must have an 'exit' event");
  worker.once("exit", died);
}

/** @throws TypeError if it is no worker at all */
function hasExit(worker: SupervisedWorker): worker is ExitingWorker {
  const is = (name: string) => typeof worker === "object" && worker !== null && name in worker;
  if (!is("once") && !is("postMessage")) throw new TypeError("worker must be a Worker");
  return is("once");
}

/** Whether this is a page, or a worker of one: elsewhere workers are those of node:worker_threads. */
function hasPageWorkers(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node === undefined;
}

/** Called in the worker: hold the handle's lock, if it has one, until this thread ends. */
export async function takeLifeLock({ lifeLock }: EngineHandle): Promise<void> {
  if (lifeLock === undefined) return;
  let lock = taken.get(lifeLock);
  if (lock === undefined) taken.set(lifeLock, (lock = hold(lifeLock)));
  await lock;
}

/** Call `died` once, after the worker has held the lock and released it. Before the worker can have it. */
export function awaitRelease(name: string, died: () => void): void {
  const manager = locks();
  const channel = new BroadcastChannel(name);
  // A request before the worker's would be granted at once, and report a worker dead that has not begun.
  channel.onmessage = () => {
    channel.close();
    void manager.request(name, async () => died());
  };
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

function locks(): LockManager {
  const manager = globalThis.navigator?.locks;
  if (manager === undefined) throw new Error("superviseWorker needs the worker's 'exit' event, or Web Locks");
  return manager;
}
