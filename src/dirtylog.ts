/**
 * Dirty pages outside of wasm: logs that end with a commit, and the named consumers.
 */
import { ERRNO, KvmError } from "./errno.js";
import { CONSUMERS_MAX, type EngineExports } from "./layout.js";
import type { MemoryViews } from "./memory.js";
import { getRegion, REGION_WORDS, show, toU32 } from "./region.js";
import type { Writer } from "./writer.js";

/**
 * The log of a slot that a list deleted or replaced: the pages that were dirty when its last reader had left.
 */
export interface EndedLog {
  /** Slot number, address space << 16 | id. */
  readonly slot: number;
  /** First guest address of the slot, in bytes. */
  readonly guestPhysAddr: number;
  /** Its size in bytes. */
  readonly memorySize: number;
  /** ALIGN(npages, 64) / 8 bytes, bit i of byte b is page 8 b + i of the slot. */
  readonly bitmap: Uint8Array;
}

/** Options of `engine.dirtyConsumer`. */
export interface ConsumerOptions {
  /** What the pages of existing logs are to a consumer that is new: "clean" (the default) or "dirty". */
  initially?: "clean" | "dirty";
}

/** Bytes of the log of `npages` pages. */
export function logBytes(npages: number): number {
  return Math.ceil(npages / 64) * 8;
}

/** The logs that a commit left at the start of the staging area. */
export function readEndedLogs(
  views: MemoryViews,
  staging: number,
  count: number,
  pageShift: number,
): EndedLog[] {
  const words = views.words(staging + count * REGION_WORDS * 4);
  return Array.from({ length: count }, (_, i) => {
    const region = getRegion(words, staging / 4 + i * REGION_WORDS);
    const { slot, guestPhysAddr, memorySize, userspaceAddr: at } = region;
    const end = at + logBytes(memorySize / 2 ** pageShift);
    return { slot, guestPhysAddr, memorySize, bitmap: views.bytes(end).slice(at, end) };
  });
}

/** FNV-1a over UTF-16 units, 64 bits: the name of a consumer as the engine's memory knows it. */
function hashName(name: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < name.length; i++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(name.charCodeAt(i))) * 0x100000001b3n);
  }
  return hash;
}

/**
 * A view of the dirty pages of its own: what it harvests is taken from nobody else, and what others harvest,
 * KVM's log included, is not taken from it. The same name is the same consumer in every thread.
 */
export class DirtyConsumer {
  /** As given to `engine.dirtyConsumer`. */
  readonly name: string;
  readonly #wasm: EngineExports;
  readonly #writer: Writer;
  readonly #views: MemoryViews;
  readonly #base: number;
  readonly #consumer: number;
  readonly #timeout: number;

  /**
   * Made by `engine.dirtyConsumer`.
   * @internal
   * @throws TypeError; KvmError E2BIG for too many, ENOMEM, ENXIO with a dirty ring
   */
  constructor(
    target: { wasm: EngineExports; writer: Writer; views: MemoryViews; base: number; timeout: number },
    name: string,
    options: ConsumerOptions,
  ) {
    if (typeof name !== "string" || name === "")
      throw new TypeError(`name must be a string, not ${show(name)}`);
    const initially = options.initially ?? "clean";
    if (initially !== "clean" && initially !== "dirty") {
      throw new TypeError(`initially must be "clean" or "dirty", not ${show(initially)}`);
    }
    this.name = name;
    this.#wasm = target.wasm;
    this.#writer = target.writer;
    this.#views = target.views;
    this.#base = target.base;
    this.#timeout = target.timeout;
    const hash = hashName(name);
    const [low, high] = [Number(hash & 0xffff_ffffn), Number(hash >> 32n)];
    this.#consumer = this.#locked("dirtyConsumer", (wasm, base) =>
      wasm.openConsumer(base, low, high, initially === "dirty" ? 1 : 0),
    );
  }

  #locked(op: string, work: (wasm: EngineExports, base: number) => number): number {
    const result = this.#writer.locked(op, this.#timeout, work);
    if (result === -ERRNO.E2BIG)
      throw new KvmError(result, op, { reason: `${CONSUMERS_MAX} consumers exist` });
    if (result < 0) throw new KvmError(result, op);
    return result;
  }

  /**
   * Harvest a slot: its pages that are dirty for this consumer, as getDirtyLog lays them out. They stay in
   * flight until `commit`; a harvest that is never settled, because its thread died, is in the next one
   * again.
   * @throws KvmError EINVAL for a bad number, ENOENT without a log, ENXIO once there are dirty rings alone
   */
  begin(slot: number): Uint8Array {
    const op = "dirtyConsumer.begin";
    toU32(slot, "slot");
    return this.#writer.locked(op, this.#timeout, (wasm, base) => {
      const at = wasm.beginHarvest(base, slot, this.#consumer);
      if (at < 0) throw new KvmError(at, op);
      const end = at + wasm.dirtyLogBytes(base, slot);
      return this.#views.bytes(end).slice(at, end);
    });
  }

  /** The harvest is where it should be: its pages are clean until they are written again. @throws as begin */
  commit(slot: number): void {
    toU32(slot, "slot");
    this.#locked("dirtyConsumer.commit", (wasm, base) => wasm.endHarvest(base, slot, this.#consumer, 0));
  }

  /** The harvest failed: its pages are dirty again. @throws as begin */
  abort(slot: number): void {
    toU32(slot, "slot");
    this.#locked("dirtyConsumer.abort", (wasm, base) => wasm.endHarvest(base, slot, this.#consumer, 1));
  }

  /** End this consumer, in all threads. */
  close(): void {
    this.#writer.locked("dirtyConsumer.close", this.#timeout, () => {
      this.#wasm.closeConsumer(this.#base, this.#consumer);
    });
  }
}
