/** The text of QEMU's `info mtree -f` as a map: the view of the address space "memory", or the first there is. */
import { type FlatRange, ParseError, parseMtree } from "../flatview/index.js";
import { KVM_MEM_READONLY } from "../uapi.js";
import { InputError } from "./jsonl.js";
import type { Mapping, MemoryMap } from "./memorymap.js";

/** @throws InputError with the line that is wrong */
export function parseMtreeDump(file: string, text: string): MemoryMap {
  try {
    const views = parseMtree(text);
    const memory = views.find(({ spaces }) => spaces.some(({ name }) => name === "memory")) ?? views[0]!;
    const name = memory.spaces[0]?.name ?? memory.root;
    const mappings = memory.view.ranges.map((range) => mappingOfRange(file, range));
    return { title: `${file}, "${name}"`, mappings };
  } catch (error) {
    if (error instanceof ParseError) throw new InputError(file, error.line, error.reason);
    throw error;
  }
}

/** A ROM device that is not in its readable mode is a device. */
function mappingOfRange(file: string, { start, size, region, offset, readonly, romd }: FlatRange): Mapping {
  const end = start + size;
  if (end > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new InputError(file, undefined, `${region.name} ends at 0x${end.toString(16)}, beyond 2^53`);
  }
  const isDevice = region.host === undefined || (region.kind === "romDevice" && !romd);
  return {
    asId: 0,
    start: Number(start),
    end: Number(end),
    kind: isDevice ? "mmio" : "ram",
    block: region.name,
    off: Number(offset),
    flags: !isDevice && (readonly || romd) ? KVM_MEM_READONLY : 0,
  };
}
