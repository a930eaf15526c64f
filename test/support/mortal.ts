/**
 * A core that dies on demand: the built wasm, instrumented so that each store calls out first. The call may throw,
 * which ends the wasm function at once, as a killed thread ends: lock held, notebook half written. Or it may do another
 * thread's work at that moment.
 */
import { readFileSync } from "node:fs";
import binaryen from "assemblyscript/binaryen";
import type { EngineHandle, MemslotEngine, Slot } from "memslots";
import type { EngineExports } from "../../src/core/exports.js";
import { REGION_BYTES } from "../../src/core/layout.js";
import { encodeUserspaceMemoryRegion } from "../../src/kvm/uapi.js";

/** Token of the thread that dies; `engine.reap(OWNER)` frees what it held. */
export const OWNER = 1000;

/** Thrown at the store at which the thread dies. */
export class Death extends Error {}

/** Instrumented exports over the memory of an engine. */
export interface MortalEngine {
  readonly wasm: EngineExports;
  /** Stores so far. */
  readonly stores: number;
  /** Die before the `store`-th store from now on, counted from 1; 0: do not die. */
  dieAt(store: number): void;
  /** Do `work` before the `store`-th store from now on, as if another thread did it. */
  interruptAt(store: number, work: () => void): void;
}

function die(store: number): never {
  throw new Death(`store ${store}`);
}

const modules = new Map<string, WebAssembly.Module>();

function instrumented(name: string): WebAssembly.Module {
  let module = modules.get(name);
  if (module === undefined) {
    const bytes = new Uint8Array(readFileSync(new URL(`../../dist/${name}`, import.meta.url)));
    const parsed = binaryen.readBinary(bytes);
    parsed.runPasses(["instrument-memory"]);
    module = new WebAssembly.Module(parsed.emitBinary() as Uint8Array<ArrayBuffer>);
    parsed.dispose();
    modules.set(name, module);
  }
  return module;
}

/** Attach a mortal core to an engine. */
export function mortal({ memory }: EngineHandle): MortalEngine {
  const shared = memory.buffer instanceof SharedArrayBuffer;
  let stores = 0;
  let last = 0;
  let end: (store: number) => void = die;
  const value = (_id: number, passed: unknown) => passed;
  const hooks: Record<string, unknown> = {
    store_ptr(_id: number, _bytes: number, _offset: number, address: number): number {
      stores++;
      if (stores === last) end(stores);
      return address;
    },
    load_ptr: (_id: number, _bytes: number, _offset: number, address: number) => address,
    memory_grow_pre: value,
    memory_grow_post: value,
  };
  for (const type of ["i32", "i64", "f32", "f64"]) {
    hooks[`load_val_${type}`] = value;
    hooks[`store_val_${type}`] = value;
  }
  const module = instrumented(shared ? "engine.wasm" : "engine.unshared.wasm");
  const instance = new WebAssembly.Instance(module, {
    env: { memory, ...hooks } as WebAssembly.ModuleImports,
  });
  return {
    wasm: instance.exports as unknown as EngineExports,
    get stores() {
      return stores;
    },
    dieAt(store: number): void {
      last = store === 0 ? 0 : stores + store;
      end = die;
    },
    interruptAt(store: number, work: () => void): void {
      last = stores + store;
      end = work;
    },
  };
}

/** Run `work`; true if it died. */
export function dies(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch (error) {
    if (error instanceof Death) return true;
    throw error;
  }
}

/** Write a list where commitList reads it, as the facade does. The writer lock is held. */
export function stageRegions(engine: MemslotEngine, { wasm }: MortalEngine, list: readonly Slot[]): void {
  const staging = wasm.stageList(engine.base, list.length);
  const bytes = new Uint8Array(engine.memory.buffer);
  for (const [i, entry] of list.entries())
    bytes.set(encodeUserspaceMemoryRegion(entry), staging + i * REGION_BYTES);
}
