/** Threads of Node for the machine's harts. */
import { Worker } from "node:worker_threads";
import type { HartMessage } from "./hartthread.js";
import type { StartThread } from "./machine.js";
import { threadTime } from "./threadtime.js";

const WORKER = new URL("./worker.ts", import.meta.url);

/** A worker from TypeScript: it does not inherit the loader of this thread. */
export const startNodeThread: StartThread = (task, onMessage, onError) => {
  const [file, parent] = [WORKER.href, import.meta.url].map((text) => JSON.stringify(text));
  const code = `import("tsx/esm/api").then(({ tsImport }) => tsImport(${file}, ${parent}));`;
  const worker = new Worker(code, { eval: true, workerData: task });
  let name: string | undefined;
  worker.on("message", (message: HartMessage & { readonly thread?: string }) => {
    name ??= message.thread;
    onMessage(message);
  });
  worker.on("error", onError);
  return {
    terminate: () => worker.terminate(),
    time: () => (name === undefined ? undefined : threadTime(name)),
  };
};
