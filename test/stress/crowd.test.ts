/** More vCPUs than processors, on all processors and on one: nobody starves, and who sleeps is woken for a reason. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { MemslotEngine, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HEADER } from "../../src/core/layout.js";
import { remote } from "../support/remote.js";
import type { CrowdReport } from "./crowd.js";

const CROWD = fileURLToPath(new URL("./crowd.ts", import.meta.url));
const SECTIONS = 200;
/** A fair scheduler gives all of them the same; starved ones would have none while the others have thousands. */
const UNEVEN_MAX = 20;

const ONE = ["taskset", "-c", "0"];
const hasTaskset = spawnSync("taskset", ["-c", "0", "true"]).status === 0;

function crowd(prefix: readonly string[], ...more: string[]): CrowdReport {
  const node = [process.execPath, "--import", "tsx", CROWD, "--sections", String(SECTIONS), ...more];
  const [command, ...args] = [...prefix, ...node] as [string, ...string[]];
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.is(status, 0, `${stdout}${stderr}`);
  return JSON.parse(stdout);
}

function check({ wrong, slowest, fastest, openings }: CrowdReport): void {
  assert.is(wrong, 0);
  assert.ok(slowest >= 2 * SECTIONS, `the slowest vCPU ended ${slowest} sections`);
  assert.ok(fastest <= slowest * UNEVEN_MAX, `sections ${slowest} to ${fastest}`);
  assert.ok(openings > 0, "there was a hurry");
}

for (const vcpus of ["4", "32"]) {
  test(`${vcpus} vCPUs on the processors that there are`, () => check(crowd([], "--vcpus", vcpus)));

  if (hasTaskset) test(`${vcpus} vCPUs on one processor`, () => check(crowd(ONE, "--vcpus", vcpus)));
  else console.log("skipped: one processor: no taskset here");
}

test("hurry: false holds nobody", () => {
  const { wrong, openings } = crowd([], "--vcpus", "4", "--no-hurry");
  assert.is(wrong, 0);
  assert.is(openings, 0);
});

test("a publication behind a closed gate wakes none of those that sleep at it", async () => {
  const VCPUS = 4;
  const engine = await MemslotEngine.create({ maxVcpus: VCPUS });
  const workers = [];
  for (let i = 0; i < VCPUS; i++) workers.push(await remote((worker) => superviseWorker(engine, worker)));
  const words = new Int32Array(engine.memory.buffer);
  const at = (field: "root" | "openings") => (engine.base + HEADER[field]) / 4;
  engine.pauseVcpus();
  const sections = workers.map((worker) =>
    worker.run(({ vcpu }) => {
      vcpu.enter();
      const hva = vcpu.gpaToHva(0);
      vcpu.exit();
      return hva;
    }),
  );
  // All at once; who is woken here, or has slept its 5 ms, looks at the gate and sleeps again.
  while (Atomics.notify(words, at("openings")) < VCPUS) await new Promise(setImmediate);
  for (let i = 1; i <= 20; i++) {
    engine.setUserMemoryRegionList(
      [
        { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: i * 4096, userspaceAddr: 4096 },
        ...(i === 1 ? [] : [{ slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 }]),
      ].reverse(),
    );
    assert.is(Atomics.notify(words, at("root")), 0, "nobody sleeps on the root");
  }
  engine.resumeVcpus();
  assert.equal(await Promise.all(sections), new Array(VCPUS).fill(4096));
  for (const worker of workers) await worker.kill();
});

test.run();
