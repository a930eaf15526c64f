/**
 * The text of QEMU's `info mtree -f` as a map: the views of the address spaces that KVM has slots of, or else the
 * first there is.
 */
import { type FlatRange, type MtreeView, ParseError, parseMtree } from "../flatview/index.js";
import { KVM_MEM_READONLY } from "../uapi.js";
import { InputError } from "./jsonl.js";
import type { Mapping, MemoryMap } from "./memorymap.js";

/** QEMU's address spaces by their number in KVM (kvm_memory_listener_register), and their roots. */
export const KVM_SPACES: readonly { readonly name: string; readonly root: string }[] = [
  { name: "memory", root: "system" },
  { name: "KVM-SMRAM", root: "mem-container-smram" },
];

/** @throws InputError with the line that is wrong */
export function parseMtreeDump(file: string, text: string): MemoryMap {
  try {
    // A map names places in blocks: where these are in the host does not matter.
    const views = parseMtree(text, { host: () => 0 });
    const found = KVM_SPACES.map(({ name }) => viewNamed(views, name));
    const [memory = views[0]!] = found;
    const mappings = [memory, ...found.slice(1)].flatMap(
      (view, asId) => view?.view.ranges.map((range) => mappingOfRange(file, range, asId)) ?? [],
    );
    return { title: `${file}, "${memory.spaces[0]?.name ?? memory.root}"`, mappings };
  } catch (error) {
    if (error instanceof ParseError) throw new InputError(file, error.line, error.reason);
    throw error;
  }
}

function viewNamed(views: readonly MtreeView[], name: string): MtreeView | undefined {
  return views.find(({ spaces }) => spaces.some((space) => space.name === name));
}

/** A ROM device that is not in its readable mode is a device. */
function mappingOfRange(
  file: string,
  { start, size, region, offset, readonly, romd }: FlatRange,
  asId: number,
): Mapping {
  const end = start + size;
  if (end > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new InputError(file, undefined, `${region.name} ends at 0x${end.toString(16)}, beyond 2^53`);
  }
  const isDevice = region.host === undefined || (region.kind === "romDevice" && !romd);
  return {
    asId,
    start: Number(start),
    end: Number(end),
    kind: isDevice ? "mmio" : "ram",
    block: region.name,
    off: Number(offset),
    flags: !isDevice && (readonly || romd) ? KVM_MEM_READONLY : 0,
  };
}
