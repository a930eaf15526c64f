/** A worker from a TypeScript file. A worker thread of Node 20 does not inherit the loader of the main thread. */
import { Worker } from "node:worker_threads";

export function tsWorker(file: URL): Worker {
  const [url, parent] = [file.href, import.meta.url].map((text) => JSON.stringify(text));
  return new Worker(`import("tsx/esm/api").then(({ tsImport }) => tsImport(${url}, ${parent}));`, {
    eval: true,
  });
}
