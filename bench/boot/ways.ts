/** The ways to make a commit of a boot: those that the RFC's author compared, and those that this engine offers. */
import type { MemslotEngine, Slot } from "memslots";

export const WAYS = ["list", "list, barrier", "pause all, one by one", "one by one"] as const;
export type Way = (typeof WAYS)[number];

type Apply = (engine: MemslotEngine, regions: readonly Slot[]) => void;

const oneByOne: Apply = (engine, regions) => {
  for (const region of regions) engine.setUserMemoryRegion(region);
};

export const applyBy: Readonly<Record<Way, Apply>> = {
  list: (engine, regions) => {
    engine.setUserMemoryRegionList(regions);
  },
  "list, barrier": (engine, regions) => {
    engine.setUserMemoryRegionList(regions, { barrier: true });
  },
  // QEMU does this since 8.0, instead of the RFC's ioctl.
  "pause all, one by one": (engine, regions) => {
    engine.pauseVcpus();
    oneByOne(engine, regions);
    engine.resumeVcpus();
  },
  "one by one": oneByOne,
};
