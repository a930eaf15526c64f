/**
 * The update calls: KVM's update of one slot, and a list of updates as one atomic change. Each encodes the caller's
 * objects as words, makes one commit, and returns its result as an object.
 */
import type { Thread } from "../core/thread.js";
import { checkArray, checkObject } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import {
  putRegion,
  putRegion2,
  putRegions,
  REGION_WORDS,
  type Region2Like,
  type RegionLike,
  type RegionListLike,
} from "../kvm/region.js";
import { decodeUserspaceMemoryRegionList } from "../kvm/regionlist.js";
import { attributesWords } from "./attributes.js";
import {
  type CheckedCommitOptions,
  type CommitOptions,
  type CommitResult,
  checkCommitOptions,
} from "./commitoptions.js";
import type { CommitRequest } from "./commitrequest.js";
import { encodeChanges, encodeWindows } from "./windows.js";
import { commit, commitAsync, type Outcome } from "./writer.js";

/** Options of a commit without options. */
export const DEFAULTS: CheckedCommitOptions = /* @__PURE__ */ checkCommitOptions({});
/** Lists of up to so many entries keep an array of exactly their length: whole arrays are copied fastest. */
const EXACT_MAX = 32;
/** Arrays to encode into, by the number of regions; that of longer lists under EXACT_MAX + 1. */
const spareWords: (Uint32Array | undefined)[] = [];

/** One slot. @throws as MemslotEngine.setUserMemoryRegion */
export function setRegion(thread: Thread, region: RegionLike): void {
  const op = "setUserMemoryRegion";
  const words = takeWords(1);
  putRegion(words, 0, region, () => "region", op);
  commit(thread, { op, words, count: 1, asList: false, version2: false, windows: [] }, DEFAULTS);
  giveWords(words);
}

/** One slot, by the second version of the struct. @throws as MemslotEngine.setUserMemoryRegion2 */
export function setRegion2(thread: Thread, region: Region2Like): void {
  const request = encodeRegion2(region, "setUserMemoryRegion2");
  commit(thread, request, DEFAULTS);
  giveWords(request.words);
}

/** The same without sleeping. */
export async function setRegion2Async(thread: Thread, region: Region2Like): Promise<void> {
  await commitAsync(thread, encodeRegion2(region, "setUserMemoryRegion2Async"), DEFAULTS);
}

function encodeRegion2(region: Region2Like, op: string): CommitRequest {
  checkObject(region, "region");
  const words = takeWords(2);
  putRegion2(words, region, "region", op);
  return { op, words, count: 1, asList: false, version2: true, windows: [] };
}

/** A list as one change. @throws as MemslotEngine.setUserMemoryRegionList */
export function setList(
  thread: Thread,
  regions: RegionListLike,
  options: CommitOptions | undefined,
): CommitResult {
  const checked = options === undefined ? DEFAULTS : checkCommitOptions(options);
  const request = encodeList(thread, regions, checked, "setUserMemoryRegionList");
  const outcome = commit(thread, request, checked);
  giveWords(request.words);
  return resultOf(outcome, checked);
}

/** The same without sleeping. @throws as MemslotEngine.setUserMemoryRegionList */
export async function setListAsync(
  thread: Thread,
  regions: RegionListLike,
  options: CommitOptions | undefined,
): Promise<CommitResult> {
  const checked = options === undefined ? DEFAULTS : checkCommitOptions(options);
  const request = encodeList(thread, regions, checked, "setUserMemoryRegionListAsync");
  return resultOf(await commitAsync(thread, request, checked), checked);
}

function encodeList(
  { addressSpaces, maxListEntries, maxPhysAddrBits }: Thread,
  given: RegionListLike,
  { windows, windowChanges, attributes }: CheckedCommitOptions,
  op: string,
): CommitRequest {
  const regions =
    given instanceof Uint8Array ? decodeUserspaceMemoryRegionList(given, maxListEntries, op) : given;
  checkArray(regions, "regions");
  const count = regions.length;
  if (count > maxListEntries) {
    const reason = `${count} entries, maxListEntries is ${maxListEntries}`;
    throw new KvmError(-ERRNO.E2BIG, op, { reason });
  }
  const encoded = windows.length === 0 ? [] : encodeWindows(windows, addressSpaces, 2 ** maxPhysAddrBits, op);
  const words = takeWords(count);
  putRegions(words, regions, count, op);
  const request: CommitRequest = { op, words, count, asList: true, version2: false, windows: encoded };
  if (windowChanges.length > 0) {
    request.edits = encodeChanges(windowChanges, addressSpaces, 2 ** maxPhysAddrBits);
    const twice = request.edits.find(({ asId }) => windows[asId] !== undefined);
    if (twice !== undefined) {
      throw new TypeError(
        `windowChanges must not be of address space ${twice.asId}, whose windows are stated`,
      );
    }
  }
  if (attributes.length > 0) {
    request.attributes = attributes.map((each, i) => attributesWords(each, `attributes[${i}]`));
  }
  return request;
}

function resultOf(
  { published, generation, changed, dirty }: Outcome,
  options: CheckedCommitOptions,
): CommitResult {
  // Without a spread, which would slow every commit.
  if (options.changed) {
    return options.takeDirty ? { generation, published, changed, dirty } : { generation, published, changed };
  }
  return options.takeDirty ? { generation, published, dirty } : { generation, published };
}

/** Take an array to encode into out of the pool: a getter of a region could make another call meanwhile. */
function takeWords(regions: number): Uint32Array {
  const place = Math.min(regions, EXACT_MAX + 1);
  const known = spareWords[place];
  spareWords[place] = undefined;
  const need = regions * REGION_WORDS;
  return known !== undefined && known.length >= need ? known : new Uint32Array(need);
}

function giveWords(words: Uint32Array): void {
  spareWords[Math.min(words.length / REGION_WORDS, EXACT_MAX + 1)] = words;
}
