/**
 * Arena: one shared linear memory with an engine at its end and the benchmark's data before it, so that the engine, the
 * loops and the native yardsticks read the same bytes.
 */
import { type EngineOptions, MemslotEngine, type Vcpu } from "memslots";
import type { EngineExports } from "../../src/core/exports.js";
import { HEADER } from "../../src/core/layout.js";
import { shuffledRegions } from "../data/lists.js";
import { PAGE_BYTES, type Slots } from "../data/slots.js";
import { engineExports, instantiateLoops, type Loops } from "./wasm.js";

const WASM_PAGE = 65536;
const MEMORY_PAGES_MAX = 16384;
const FIRST_BYTE = 64;
/** Lists in which an engine is filled. */
const FILL_ENTRIES = 4096;

export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly engine: MemslotEngine;
  readonly vcpu: Vcpu;
  readonly loops: Loops;
  /** The exports that an emulator's wasm would import. */
  readonly raw: EngineExports;
  #free: number;
  readonly #end: number;

  private constructor(memory: WebAssembly.Memory, engine: MemslotEngine, loops: Loops, end: number) {
    this.memory = memory;
    this.engine = engine;
    this.loops = loops;
    this.raw = engineExports(engine.handle.module, memory);
    this.vcpu = engine.vcpu();
    this.#free = FIRST_BYTE;
    this.#end = end;
  }

  /** @param bytes room for the benchmark's data */
  static async create(bytes: number, options: EngineOptions = {}): Promise<Arena> {
    const initial = Math.ceil((bytes + FIRST_BYTE) / WASM_PAGE);
    const memory = new WebAssembly.Memory({ initial, maximum: MEMORY_PAGES_MAX, shared: true });
    const engine = await MemslotEngine.create({ ...options, memory });
    return new Arena(memory, engine, await instantiateLoops(memory), initial * WASM_PAGE);
  }

  /** An engine filled with `slots` in random order, and room for three words of each of `keys` keys. */
  static async of(slots: Slots, keys: number): Promise<Arena> {
    const arena = await Arena.create(keys * 24 + 512, { maxSlots: slots.count });
    const regions = shuffledRegions(slots);
    for (let i = 0; i < regions.length; i += FILL_ENTRIES) {
      arena.engine.setUserMemoryRegionList(regions.slice(i, i + FILL_ENTRIES));
    }
    return arena;
  }

  /** Allocate `bytes` bytes at a cache line. @returns their address */
  take(bytes: number): number {
    const address = this.#free;
    this.#free = (address + bytes + 63) & ~63;
    if (this.#free > this.#end) throw new Error(`the arena has no room for ${bytes} more bytes`);
    return address;
  }

  /** The frames as u64. */
  putGfns(gfns: Float64Array): BigUint64Array {
    const view = new BigUint64Array(this.memory.buffer, this.take(gfns.length * 8), gfns.length);
    for (let i = 0; i < gfns.length; i++) view[i] = BigInt(gfns[i]!);
    return view;
  }

  /** The frames as f64 guest addresses in bytes. */
  putGpas(gfns: Float64Array): Float64Array {
    const view = new Float64Array(this.memory.buffer, this.take(gfns.length * 8), gfns.length);
    for (let i = 0; i < gfns.length; i++) view[i] = gfns[i]! * PAGE_BYTES;
    return view;
  }

  /** Address of each slot's record, by slot id: the results of the index. */
  records(slots: Slots): Uint32Array {
    const words = new Uint32Array(this.memory.buffer);
    const field = (offset: number): number => words[(this.engine.base + offset) / 4]!;
    const found = new Uint32Array(slots.count);
    for (let id = 0; id < slots.count; id++) found[id] = words[field(HEADER.ids) / 4 + id]!;
    return found;
  }
}
