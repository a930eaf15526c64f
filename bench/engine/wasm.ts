/** The loops of bench/assembly as instances over a memory. */
import { readFileSync } from "node:fs";
import type { EngineExports } from "../../src/core/exports.js";
import { buildAll } from "./build.js";

/** Loops compiled together with the engine; bench/assembly documents the sum of each. */
export interface Loops {
  searchEach(header: number, keys: number, count: number): number;
  searchMany(reader: number, keys: number, count: number): number;
  translateEach(reader: number, keys: number, count: number): number;
  translateInSections(reader: number, keys: number, count: number): number;
  sectionEach(reader: number, count: number): number;
  exchangeEach(word: number, count: number): number;
  translateExchanged(reader: number, word: number, keys: number, count: number): number;
  pinOnly(reader: number): void;
  unpinOnly(reader: number): void;
  translateLocked(reader: number, lock: number, keys: number, count: number): number;
  lockWriter(lock: number): number;
  unlockWriter(lock: number): void;
  equalRoots(header: number): void;
  graceEach(header: number, owner: number, count: number): number;
  hostSlotsEach(reader: number, keys: number, count: number, bytes: number): number;
  loadFlat(keys: number, count: number): number;
  loadProbed(reader: number, keys: number, count: number): number;
  commitEach(header: number, operations: number, entries: number, lists: number): number;
  createMergeCopy(map: number, capacity: number, entries: number): number;
  mergeCopyEach(map: number, operations: number, entries: number, lists: number): number;
  mergeCopyFind(map: number, keys: number, count: number): number;
  createTreap(map: number, capacity: number): number;
  treapEach(map: number, operations: number, entries: number, lists: number): number;
  treapFind(map: number, keys: number, count: number): number;
}

/** Loops of a module that imports the engine. */
export interface Calls {
  translateAcross(reader: number, keys: number, count: number): number;
}

export async function instantiateLoops(memory: WebAssembly.Memory): Promise<Loops> {
  const { together } = await buildAll();
  return instantiate<Loops>(together, { env: { memory } });
}

export async function instantiateCalls(memory: WebAssembly.Memory, engine: EngineExports): Promise<Calls> {
  const { apart } = await buildAll();
  return instantiate<Calls>(apart, { env: { memory }, engine: { gpaToHva: engine.gpaToHva } });
}

/** The engine's exports, as src/ calls them. */
export function engineExports(module: WebAssembly.Module, memory: WebAssembly.Memory): EngineExports {
  return exportsOf<EngineExports>(new WebAssembly.Instance(module, { env: { memory } }));
}

async function instantiate<Exports>(file: string, imports: WebAssembly.Imports): Promise<Exports> {
  const module = await WebAssembly.compile(readFileSync(file));
  return exportsOf<Exports>(new WebAssembly.Instance(module, imports));
}

function exportsOf<Exports>(instance: WebAssembly.Instance): Exports {
  return instance.exports as Exports;
}
