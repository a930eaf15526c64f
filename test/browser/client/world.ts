/** An engine with a few workers on it, and what must hold of it when a scenario is over. */
import { type EngineOptions, ERRNO, KvmError, MemslotEngine, type Vcpu } from "memslots";
import * as assert from "uvu/assert";
import { checkInvariants } from "../../support/invariants.js";
import { WHOLE } from "./layouts.js";
import { Remote } from "./remote.js";
import { newWords, turn } from "./words.js";

export interface World {
  readonly engine: MemslotEngine;
  readonly words: Int32Array;
  readonly workers: readonly Remote[];
}

export async function world(workers: number, options: EngineOptions = {}): Promise<World> {
  const engine = await MemslotEngine.create({ maxVcpus: 8, ...options });
  engine.setUserMemoryRegionList(WHOLE);
  const words = newWords();
  const started = Array.from({ length: workers }, () => Remote.attached(engine, words));
  return { engine, words, workers: await Promise.all(started) };
}

/** True if every vCPU is free. */
function allFree(engine: MemslotEngine): boolean {
  const vcpus: Vcpu[] = [];
  try {
    while (vcpus.length < engine.maxVcpus) vcpus.push(engine.vcpu());
    return true;
  } catch (error) {
    if (error instanceof KvmError && error.code === "EAGAIN") return false;
    throw error;
  } finally {
    for (const vcpu of vcpus) vcpu.release();
  }
}

/** Terminate the workers and wait until the engine has cleaned up after them, by itself. Milliseconds that it took. */
export async function end({ engine, workers }: World): Promise<number> {
  const start = performance.now();
  for (const worker of workers) worker.terminate();
  while (!allFree(engine)) await turn();
  const took = performance.now() - start;
  await engine.synchronizeAsync();
  checkInvariants(engine);
  return Math.round(took);
}

/** The error that `work` is refused with. */
export async function refusal(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return assert.unreachable("must be refused");
}

export async function refused(
  code: keyof typeof ERRNO,
  work: () => unknown,
  published?: boolean,
): Promise<void> {
  const error = await refusal(work);
  assert.instance(error, KvmError);
  assert.equal(
    [(error as KvmError).errno, (error as KvmError).published],
    [-ERRNO[code], published],
    String(error),
  );
}
