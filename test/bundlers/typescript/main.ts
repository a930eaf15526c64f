/** The declarations of every entry are found and are not `any`: what stands below an @ts-expect-error must be wrong. */
import { type CommitResult, KvmError, MemslotEngine, type RegionLike } from "memslots";
import { type FlatView, MemoryRegion } from "memslots/flatview";
import { HVA_BAD, KVM_MEM_READONLY } from "memslots/uapi";
import { MemslotEngine as FetchingEngine } from "memslots/url";

const region: RegionLike = {
  slot: 0,
  flags: KVM_MEM_READONLY,
  guestPhysAddr: 0,
  memorySize: 4096,
  userspaceAddr: 0,
};

export async function main(): Promise<CommitResult> {
  const engine: MemslotEngine = await MemslotEngine.create({ maxSlots: 64 });
  const fetching: MemslotEngine = await FetchingEngine.create({ wasm: { shared: "/engine.wasm" } });
  // @ts-expect-error
  await FetchingEngine.create({ wasm: { shared: 1 } });
  // @ts-expect-error
  await MemslotEngine.create({ maxSlot: 64 });
  // @ts-expect-error
  engine.setUserMemoryRegion({ slot: 0 });
  // @ts-expect-error
  const text: string = engine.gpaToHva(0);
  // @ts-expect-error
  const view: FlatView = MemoryRegion;
  if (engine.gpaToHva(0) === HVA_BAD) throw new KvmError(-22, `${text} ${view} ${fetching.base}`);
  return engine.setUserMemoryRegionList([region], { wait: false });
}
