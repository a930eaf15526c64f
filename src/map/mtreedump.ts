/**
 * The text of QEMU's `info mtree` as a map: the views of the address spaces that KVM has slots of, or else the first
 * that has memory.
 */
import {
  type FlatRange,
  listMtree,
  type MtreeEntry,
  type MtreeView,
  ParseError,
  parseMtree,
} from "../flatview/index.js";
import { KVM_MEM_READONLY } from "../kvm/uapi.js";
import { InputError } from "../trace/jsonl.js";
import type { MapNote, Mapping, MemoryMap } from "./memorymap.js";

/** QEMU's address spaces by their number in KVM (kvm_memory_listener_register), and their roots. */
export const KVM_SPACES: readonly { readonly name: string; readonly root: string }[] = [
  { name: "memory", root: "system" },
  { name: "KVM-SMRAM", root: "mem-container-smram" },
];

const SOURCES = { flat: "info mtree -f of QEMU", tree: "info mtree of QEMU, flattened" } as const;

/** The dumps of a text. @throws InputError with the line that is wrong */
export function mtreeDumps(file: string, text: string): MtreeEntry[] {
  return asInput(file, () => listMtree(text));
}

/** The map of one of several dumps, counted from 1. @throws InputError with the line that is wrong */
export function parseMtreeDump(file: string, text: string, dump?: number): MemoryMap {
  return asInput(file, () => {
    const notes: MapNote[] = [];
    const note = (line: number, reason: string) => notes.push({ line, text: reason });
    const hosts = new Map<string, number>();
    const blocks: string[] = [];
    // A map names places in blocks: a block's host address is here its place among them.
    const host = (name: string, _bytes: bigint, known: number | undefined) => {
      const same = blocks.filter((block) => block === name || block.startsWith(`${name}#`)).length;
      const block = same === 0 ? name : `${name}#${same + 1}`;
      if (known !== undefined) hosts.set(block, known);
      return blocks.push(block) - 1;
    };
    const views = parseMtree(text, { host, note, dump });
    const [{ kind }] = listMtree(text).slice((dump ?? 1) - 1) as [MtreeEntry];
    const found = KVM_SPACES.map(({ name }) => viewNamed(views, name));
    const [memory = firstWithMemory(views, note)] = found;
    const mappings = [memory, ...found.slice(1)].flatMap(
      (view, asId) => view?.view.ranges.flatMap((range) => mappingOfRange(range, asId, blocks, notes)) ?? [],
    );
    const title = `${file}, "${memory.spaces[0]?.name ?? memory.root}"`;
    return { title, source: SOURCES[kind], mappings, notes, ...(hosts.size > 0 && { hosts }) };
  });
}

function asInput<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ParseError) throw new InputError(file, error.line, error.reason);
    throw error;
  }
}

function viewNamed(views: readonly MtreeView[], name: string): MtreeView | undefined {
  return views.find(({ spaces }) => spaces.some((space) => space.name === name));
}

function firstWithMemory(views: readonly MtreeView[], note: (line: number, text: string) => void): MtreeView {
  const found =
    views.find(({ view }) => view.ranges.some(({ region }) => region.host !== undefined)) ?? views[0];
  if (found === undefined) throw new ParseError(1, "the text has no address space");
  const name = found.spaces[0]?.name ?? found.root;
  if (views.length > 1)
    note(1, `no address space is called "memory": "${name}" is the first that has memory`);
  return found;
}

/** A ROM device that is not in its readable mode is a device, and memory that has no slot is a window. */
function mappingOfRange(
  { start, size, region, offset, readonly, romd, slotless }: FlatRange,
  asId: number,
  blocks: readonly string[],
  notes: MapNote[],
): Mapping[] {
  const end = start + size;
  const furthest = end > offset + size ? end : offset + size;
  if (furthest > BigInt(Number.MAX_SAFE_INTEGER)) {
    const place = `0x${furthest.toString(16)}, beyond 2^53`;
    notes.push({ line: undefined, text: `"${region.name}" reaches ${place}: it is not in the map` });
    return [];
  }
  const isMemory = region.host !== undefined && (region.kind !== "romDevice" || romd);
  const isDevice = !isMemory || slotless === true;
  const mapping: Mapping = {
    asId,
    start: Number(start),
    end: Number(end),
    kind: isDevice ? "mmio" : "ram",
    block: region.host === undefined ? region.name : blocks[region.host]!,
    off: Number(offset),
    flags: !isDevice && (readonly || romd) ? KVM_MEM_READONLY : 0,
  };
  return [mapping];
}
