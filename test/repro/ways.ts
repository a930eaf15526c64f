/**
 * The ways to make a change: update by update, as the ioctl of today has it, or as one list.
 */
import { KvmError, type MemslotEngine, type Slot } from "memslots";
import type { Change } from "./scenario.js";

export const WAYS = ["one by one", "list", "list, barrier"] as const;
export type Way = (typeof WAYS)[number];

type Apply = (engine: MemslotEngine, change: Change) => void;

/** @throws KvmError for an update that is refused and should not be; Error for the contrary */
export const applyBy: Readonly<Record<Way, Apply>> = {
  "one by one": applyOneByOne,
  list: (engine, change) => applyList(engine, change, {}),
  "list, barrier": (engine, change) => applyList(engine, change, { barrier: true }),
};

export function applyList(
  engine: MemslotEngine,
  { list, refusedAt }: Change,
  options: { barrier?: boolean; wait?: boolean },
): void {
  try {
    engine.setUserMemoryRegionList(list, options);
  } catch (error) {
    if (!(error instanceof KvmError) || refusedAt === undefined || error.index !== refusedAt) throw error;
    return;
  }
  if (refusedAt !== undefined) throw new Error(`entry ${refusedAt} should have been refused`);
}

/** A refusal half-way is undone update by update, because nothing else can. */
function applyOneByOne(engine: MemslotEngine, { list, refusedAt }: Change): void {
  const undo: Slot[] = [];
  for (const [index, region] of list.entries()) {
    const old = engine.slot(region.slot);
    try {
      engine.setUserMemoryRegion(region);
    } catch (error) {
      if (!(error instanceof KvmError) || index !== refusedAt) throw error;
      for (const back of undo.reverse()) engine.setUserMemoryRegion(back);
      return;
    }
    undo.push(old ?? { ...region, memorySize: 0 });
  }
  if (refusedAt !== undefined) throw new Error(`entry ${refusedAt} should have been refused`);
}
