/** Publication of one list, without a reader to wait for; runs in pages, too. */
import { makeKeys } from "../data/keys.js";
import { makePass, type Pass, shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { filledEngine } from "../engine/filled.js";
import type { Entrant } from "../harness/case.js";
import { copiedArrays } from "../peers/copiedarrays.js";

export const PUBLICATION = "engine, publication alone";
const PROBES = 64;

export const swapCase = (updates: number): string => `swap, ${updates} per list`;

/** The engine and a copy of arrays, on the same lists of about `total` updates. */
export async function publicationEntrants(n: number, updates: number, total: number): Promise<Entrant[]> {
  const slots = makeSlots("dense", n);
  const pass = makePass(slots, updates, Math.max(4, 2 * Math.round(total / updates / 2)));
  const probes = makeKeys(slots, "uniform", PROBES).map((gfn) => gfn * PAGE_BYTES);
  return [engineEntrant(slots, pass, probes), copyEntrant(slots, pass, probes)];
}

function engineEntrant(slots: Slots, { lists }: Pass, probes: Float64Array): Entrant {
  return {
    name: PUBLICATION,
    async build() {
      const engine = await filledEngine(shuffledRegions(slots), slots.count);
      return {
        operations: lists.length,
        batch() {
          for (let i = 0; i < lists.length; i++) engine.setUserMemoryRegionList(lists[i]!, { wait: false });
          return 0;
        },
        after: () => probes.reduce((sum, gpa) => sum + engine.gpaToHva(gpa), 0),
      };
    },
  };
}

function copyEntrant(slots: Slots, { lists }: Pass, probes: Float64Array): Entrant {
  return {
    name: copiedArrays.name,
    build() {
      const peer = copiedArrays.create(shuffledRegions(slots));
      return {
        operations: lists.length,
        batch() {
          for (let i = 0; i < lists.length; i++) peer.apply(lists[i]!);
          return 0;
        },
        after: () => peer.lookups(probes),
      };
    },
  };
}
