/** A whole engine as bytes, and an engine of such bytes: for snapshots, rewind, forks, and moves to another process. */
import type { EngineOptions } from "../core/options.js";
import { type Engine, threadOf } from "../core/thread.js";
import { MemslotEngine } from "../engine.js";
import { checkOptionNames, show } from "../kvm/arguments.js";
import { checkWaitOptions, type WaitOptions } from "../write/commitoptions.js";
import { locked, lockedAsync } from "../write/lock.js";
import { fillEngine } from "./fill.js";
import { readState } from "./read.js";
import { decodeState, type EngineState, encodeState } from "./state.js";

/** Options of `restoreEngine`: where the engine is placed. Its limits are those of the saved one. */
export type RestoreOptions = Pick<
  EngineOptions,
  "memory" | "base" | "size" | "shared" | "hurry" | "processors" | "wasm"
>;

const RESTORE_OPTIONS = {
  memory: true,
  base: true,
  size: true,
  shared: true,
  hurry: true,
  processors: true,
  wasm: true,
} as const;

/**
 * Save an engine: slots, windows, private memory, generations, publications, capabilities, dirty logs, consumers and
 * what they have pending or in flight, dirty rings. Threads and vCPUs are no part of it, nor is guest memory. Other
 * threads may run meanwhile: what is saved is one layout, and the pages that were told dirty up to then. For an exact
 * moment pause them before, by `pauseVcpus({ writers: true })`.
 * @returns bytes for `restoreEngine`, in this version of memslots or another one that reads them
 * @throws KvmError EBUSY while another thread keeps the writer lock; TypeError naming the option
 *
 * @example
 * engine.pauseVcpus({ writers: true });
 * const saved = saveEngine(engine);
 * const memory = ram.slice(0);
 * engine.resumeVcpus();
 */
export function saveEngine(engine: Engine, options: WaitOptions = {}): Uint8Array {
  const thread = threadOf(engine);
  return encodeState(locked(thread, "saveEngine", checkWaitOptions(options), () => readState(thread)));
}

/** The same without sleeping, for a page. @throws as saveEngine */
export async function saveEngineAsync(engine: Engine, options: WaitOptions = {}): Promise<Uint8Array> {
  const thread = threadOf(engine);
  const op = "saveEngineAsync";
  return encodeState(await lockedAsync(thread, op, checkWaitOptions(options), () => readState(thread)));
}

/**
 * Make an engine of saved bytes. It answers as the saved one did: the same slots, generations, dirty pages. Its vCPUs
 * and threads are gone, as if reaped.
 * @throws Error for bytes that are no saved engine, or damaged, or of a version that is not read; TypeError or
 *   RangeError naming the option; KvmError ENOMEM if the memory cannot hold it
 *
 * @example
 * const restored = await restoreEngine(saveEngine(engine));
 */
export async function restoreEngine(bytes: Uint8Array, options: RestoreOptions = {}): Promise<MemslotEngine> {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`bytes must be a Uint8Array, not ${show(bytes)}`);
  checkOptionNames<RestoreOptions>(options, RESTORE_OPTIONS);
  return await makeEngine(decodeState(bytes), options);
}

/**
 * Make an engine that answers as this one does now, and then goes another way: a fork, or a point to come back to.
 * @throws as saveEngine and restoreEngine
 */
export async function cloneEngine(engine: Engine, options: RestoreOptions = {}): Promise<MemslotEngine> {
  return await restoreEngine(await saveEngineAsync(engine), options);
}

async function makeEngine(state: EngineState, options: RestoreOptions): Promise<MemslotEngine> {
  const {
    addressSpaces,
    maxSlots,
    maxVcpus,
    maxListEntries,
    pageShift,
    maxPhysAddrBits,
    maxUserAddrBits,
    hurry,
  } = state;
  const engine = await MemslotEngine.create({
    addressSpaces,
    maxSlots,
    maxVcpus,
    maxListEntries,
    pageShift,
    maxPhysAddrBits,
    maxUserAddrBits,
    hurry,
    ...options,
  });
  try {
    fillEngine(threadOf(engine), state);
    // Another instance: this one's reader line knows the layouts that led to the restored one.
    return await MemslotEngine.attach(engine.handle);
  } finally {
    engine.close();
  }
}
