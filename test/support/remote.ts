/**
 * An engine in a worker thread that a test drives one step at a time. The worker runs the function bodies that the test
 * passes, so a test reads from top to bottom. Nothing waits by time; a watchdog ends a worker that does not respond.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { EngineHandle, MemslotEngine, Vcpu } from "memslots";

const WATCHDOG_MS = 20_000;

/** The scope of a step: the worker's engine, and values for later steps. */
export interface RemoteScope {
  /** The package, because a step has none of the test's imports. */
  memslots: typeof import("memslots");
  engine: MemslotEngine;
  vcpu: Vcpu;
  /** A word shared with the test. */
  word: Int32Array;
}

/** A worker with an engine and one vCPU. */
export interface Remote {
  readonly worker: Worker;
  /** Run `step` in the worker and return its result, or throw the error that it threw as `code: message`. */
  run<T>(step: (scope: RemoteScope) => T | Promise<T>): Promise<T>;
  /** Start `step` without waiting for it. */
  start(step: (scope: RemoteScope) => unknown): void;
  /** A word shared with the worker. */
  readonly word: Int32Array;
  /** Kill the worker and wait for its 'exit' event. */
  kill(): Promise<void>;
}

const SOURCE = `
const { parentPort, workerData } = require("node:worker_threads");
const ready = import("memslots").then(async (memslots) => {
  const engine = await memslots.MemslotEngine.attach(workerData.handle);
  return { memslots, engine, vcpu: engine.vcpu(), word: workerData.word };
});
parentPort.on("message", async ({ id, step }) => {
  try {
    const scope = await ready;
    const result = await (0, eval)("(" + step + ")")(scope);
    parentPort.postMessage({ id, result });
  } catch (error) {
    parentPort.postMessage({ id, error: (error.code ?? error.name) + ": " + error.message });
  }
});
`;

/** Start a worker on `handle`; a function, because a supervised handle needs the worker first. */
export async function remote(handleFor: (worker: Worker) => EngineHandle): Promise<Remote> {
  const word = new Int32Array(new SharedArrayBuffer(4));
  const start = new Worker(
    `require("node:worker_threads").parentPort.once("message", (data) => {
       const threads = require("node:worker_threads"); threads.workerData = data; ${SOURCE} });`,
    { eval: true },
  );
  const exited = once(start, "exit");
  await once(start, "online");
  start.postMessage({ handle: handleFor(start), word });
  let next = 0;
  const post = (step: (scope: RemoteScope) => unknown) => {
    // The worker lacks the compiler's helper for names.
    const text = `(scope) => { const __name = (f) => f; return (${step.toString()})(scope); }`;
    start.postMessage({ id: ++next, step: text });
    return next;
  };
  const created: Remote = {
    worker: start,
    word,
    start: (step) => {
      post(step);
    },
    async run(step) {
      const id = post(step);
      const watchdog = setTimeout(
        () => start.emit("error", new Error(`no answer in ${WATCHDOG_MS} ms`)),
        WATCHDOG_MS,
      );
      try {
        for (;;) {
          const [answer] = await once(start, "message");
          if (answer.id !== id) continue;
          if (answer.error !== undefined) throw new Error(answer.error);
          return answer.result;
        }
      } finally {
        clearTimeout(watchdog);
      }
    },
    async kill() {
      void start.terminate();
      await exited;
    },
  };
  await created.run(() => 0);
  return created;
}
