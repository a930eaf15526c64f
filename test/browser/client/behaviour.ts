/** The behaviour suites of Node, Bun and Deno, in a page and in a module worker, on every build that runs there. */
import { MemslotEngine } from "memslots";
import * as assert from "uvu/assert";
import { Remote } from "./remote.js";
import type { Facts } from "./scenarios.js";

/** A suite as uvu queues it. */
type Queued = () => Promise<[errors: string | true, passed: number, skipped: number, total: number]>;

/** Run all suites in this thread. @throws Error with what uvu says of those that failed */
export async function runBehaviour(): Promise<Facts> {
  const queue: Queued[] = [];
  // As uvu's own runner does: suites are queued, and nothing starts by itself.
  Object.assign(globalThis, { UVU_DEFER: true, UVU_QUEUE: [queue] });
  const { behaviourSuites } = await import("../../suites/index.js");
  const builds = crossOriginIsolated ? [true, false] : [false];
  for (const shared of builds) {
    behaviourSuites(shared ? "shared" : "unshared", (options) =>
      MemslotEngine.create({ ...options, shared }),
    );
  }
  const failures: string[] = [];
  let passed = 0;
  for (const run of queue) {
    const [errors, ran, skipped, total] = await run();
    if (errors !== true) failures.push(errors);
    assert.is(skipped, 0);
    assert.ok(total > 0, "a suite without tests");
    passed += ran;
  }
  if (failures.length > 0) throw new Error(failures.join("\n"));
  assert.ok(passed > 0);
  return { builds: builds.length, tests: passed };
}

async function inWorker(): Promise<Facts> {
  const worker = await Remote.start();
  const facts = await worker.run("behaviour");
  worker.terminate();
  return facts;
}

export const BEHAVIOUR = {
  "behaviour suites in the page": runBehaviour,
  "behaviour suites in a module worker": inWorker,
};
