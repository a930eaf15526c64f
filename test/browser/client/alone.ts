/** A page that is not cross-origin isolated: everything but sharing works, and asking to share says what is missing. */
import { KVM_MEM_LOG_DIRTY_PAGES, MemslotEngine } from "memslots";
import * as assert from "uvu/assert";
import { checkInvariants } from "../../support/invariants.js";
import { deletion, PAGE, region } from "../../support/region.js";
import { MERGE, pass, SPLIT, WHOLE } from "./layouts.js";
import { Remote } from "./remote.js";
import type { Facts } from "./scenarios.js";
import { refusal, refused } from "./world.js";

/** All that one thread can do. */
async function oneThread(): Promise<Facts> {
  assert.is(crossOriginIsolated, false);
  const engine = await MemslotEngine.create();
  assert.instance(engine.memory.buffer, ArrayBuffer);
  engine.setUserMemoryRegionList(WHOLE);
  const vcpu = engine.vcpu();
  const seen = { accesses: 0, misses: 0, torn: 0 };
  for (const options of [{}, { wait: false }, { barrier: true }]) {
    for (const list of [SPLIT, MERGE]) {
      const generation = engine.generation();
      const observed = engine.waitGenerationAsync(generation + 1);
      vcpu.enter();
      assert.is((await engine.setUserMemoryRegionListAsync(list, options)).published, true);
      pass(vcpu.gpaToHva, seen);
      vcpu.exit();
      assert.is(vcpu.enter(), true, "the layout changed");
      pass(vcpu.gpaToHva, seen);
      vcpu.exit();
      await observed;
    }
  }
  assert.equal(seen, { accesses: 2 * 6 * 64, misses: 0, torn: 0 });
  engine.setUserMemoryRegionList([deletion(0), region(0, 0, 64, 1, KVM_MEM_LOG_DIRTY_PAGES)]);
  engine.markDirty(8 * PAGE);
  assert.equal(engine.getDirtyLog(0), new Uint8Array([0, 1, 0, 0, 0, 0, 0, 0]));
  engine.pauseVcpus();
  await refused("EBUSY", () => engine.pauseVcpus());
  engine.resumeVcpus();
  await engine.synchronizeAsync();
  vcpu.release();
  checkInvariants(engine);
  return { sharedArrayBuffer: typeof SharedArrayBuffer };
}

/** Each worker can have an engine of its own. */
async function inWorker(): Promise<Facts> {
  const worker = await Remote.start();
  assert.is(await worker.run("create"), true);
  assert.is(await worker.run("commitList", WHOLE), true);
  assert.equal(await worker.run("read", [PAGE, 64 * PAGE]), [1001 * PAGE, -1]);
  worker.terminate();
  return {};
}

function assertNamesHeaders(error: unknown): string {
  assert.instance(error, Error);
  const { message } = error as Error;
  assert.match(message, "Cross-Origin-Opener-Policy: same-origin");
  assert.match(message, "Cross-Origin-Embedder-Policy: require-corp");
  return message;
}

/** Asking to share. */
async function sharing(): Promise<Facts> {
  const create = assertNamesHeaders(await refusal(() => MemslotEngine.create({ shared: true })));
  const engine = await MemslotEngine.create({ shared: false });
  const worker = await Remote.start();
  const supervise = assertNamesHeaders(await refusal(() => worker.supervisedBy(engine)));
  worker.terminate();
  return { create, supervise };
}

/** A shared memory can be made all the same, only not be posted. */
async function sharedMemory(): Promise<Facts> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 64, shared: true });
  const engine = await MemslotEngine.create({ memory });
  engine.setUserMemoryRegionList(WHOLE);
  await engine.setUserMemoryRegionListAsync(SPLIT);
  assert.is(engine.gpaToHva(20 * PAGE), 5004 * PAGE);
  checkInvariants(engine);
  return {};
}

export const ALONE = {
  "one thread": oneThread,
  "an engine of a worker's own": inWorker,
  "asking to share names the headers": sharing,
  "inside a shared memory": sharedMemory,
};
