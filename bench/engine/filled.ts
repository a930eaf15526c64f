/** An engine that maps a layout, and loops over it from JavaScript. Runs in any runtime. */
import { MemslotEngine, type Slot, type Vcpu } from "memslots";

/** Longest list of an engine whose filling is no longer: its default. */
const LIST_ENTRIES = 4096;

export async function filledEngine(regions: readonly Slot[], slots: number): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({
    maxSlots: slots,
    maxListEntries: Math.max(LIST_ENTRIES, regions.length),
  });
  engine.setUserMemoryRegionList(regions);
  return engine;
}

export function sumOfVcpu(vcpu: Vcpu, gpas: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) sum += vcpu.gpaToHva(gpas[i]!);
  return sum;
}

export function sumOfOneShots(engine: MemslotEngine, gpas: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) sum += engine.gpaToHva(gpas[i]!);
  return sum;
}
