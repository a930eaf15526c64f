/** How long this thread was ready to run and had no processor, where the system tells. */
import { openSync, readSync } from "node:fs";

function open(): number | undefined {
  try {
    // The main thread's own; a worker would find that of the main thread.
    return openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  } catch {
    return undefined;
  }
}

const file = open();
const bytes = Buffer.alloc(128);

/** Milliseconds since the main thread began, the caller; NaN where nobody knows. */
export function runDelay(): number {
  if (file === undefined) return Number.NaN;
  const length = readSync(file, bytes, 0, bytes.length, 0);
  return Number(bytes.toString("latin1", 0, length).split(" ")[1]) / 1e6;
}
