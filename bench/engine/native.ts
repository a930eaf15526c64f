/** The native yardsticks of bench/native as functions, or the reason why there are none. */
import { createRequire } from "node:module";
import type { Slots } from "../data/slots.js";
import { buildAll } from "./build.js";

/** The functions of addon.c. */
export interface Addon {
  build(slots: Uint8Array): unknown;
  find(handle: unknown, which: number, gfns: BigUint64Array): number;
  sections(counters: Uint8Array, count: number, srcu: number): void;
  createVm(): number;
  destroyVm(vm: number): void;
  setRegions(vm: number, regions: Uint32Array): number;
}

/** Order of `enum find` in addon.c. */
export const FIND = { tree: 0, treeLastUsed: 1, sorted: 2, pageTable: 3, translate: 4 } as const;

const SLOT_BYTES = 24;

/** The addon, or the reason why rows with native yardsticks are skipped. */
export async function loadAddon(): Promise<Addon | string> {
  const { addon, noAddon } = await buildAll();
  if (addon === undefined) return noAddon ?? "no addon";
  return createRequire(import.meta.url)(addon) as Addon;
}

/** All structures over `slots`; a lookup returns the payload of the slot. */
export function buildNative(addon: Addon, slots: Slots, payload: ArrayLike<number>): unknown {
  const bytes = new DataView(new ArrayBuffer(slots.count * SLOT_BYTES));
  for (let i = 0; i < slots.count; i++) {
    bytes.setBigUint64(i * SLOT_BYTES, BigInt(slots.baseGfn[i]!), true);
    bytes.setBigUint64(i * SLOT_BYTES + 8, BigInt(slots.hva[i]!), true);
    bytes.setUint32(i * SLOT_BYTES + 16, slots.npages[i]!, true);
    bytes.setUint32(i * SLOT_BYTES + 20, payload[i]!, true);
  }
  return addon.build(new Uint8Array(bytes.buffer));
}
