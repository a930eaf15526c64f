/** The dirty logs that a commit has ended, read from the staging area. */
import type { Place } from "../core/thread.js";
import type { EndedLog } from "../kvm/errordetails.js";
import { getRegion, REGION_WORDS } from "../kvm/region.js";

/** `count` logs at the start of the staging area; the last word of each region is the address of its bitmap. */
export function readEndedLogs({ views, pageShift }: Place, staging: number, count: number): EndedLog[] {
  const words = views.words(staging + count * REGION_WORDS * 4);
  return Array.from({ length: count }, (_, i) => {
    const region = getRegion(words, staging / 4 + i * REGION_WORDS);
    const { slot, guestPhysAddr, memorySize, userspaceAddr: at } = region;
    const end = at + logBytes(memorySize / 2 ** pageShift);
    return { slot, guestPhysAddr, memorySize, bitmap: views.bytes(end).slice(at, end) };
  });
}

/** Bytes of the log of `npages` pages: ALIGN(npages, 64) / 8, as in KVM. */
export function logBytes(npages: number): number {
  return Math.ceil(npages / 64) * 8;
}
