/** Maps of physical memory, of /proc/iomem, of firmware, of a devicetree, as maps: RAM and what else has a name. */
import {
  FlatView,
  type MemoryRegion,
  ParseError,
  PHYSICAL_HOST,
  type PhysicalMap,
  parseDeviceTree,
  parseIomem,
  parsePhysical,
  physicalTree,
} from "../flatview/index.js";
import { InputError } from "../trace/jsonl.js";
import type { MapNote, Mapping, MemoryMap } from "./memorymap.js";

const SOURCES: Readonly<Record<PhysicalMap["kind"], string>> = {
  e820: "the e820 map of firmware in a log of Linux",
  memmap: "/sys/firmware/memmap of Linux",
  efi: "a memory map of EFI",
};

type Note = (line: number, text: string) => void;

/** @throws InputError with the line that is wrong */
export function iomemMap(file: string, text: string): MemoryMap {
  return mapOf(file, "/proc/iomem of Linux", () => parseIomem(text));
}

/** @throws InputError */
export function deviceTreeMap(file: string, bytes: Uint8Array): MemoryMap {
  return mapOf(file, "a flattened devicetree", (note) => physicalTree(parseDeviceTree(bytes, note)));
}

/** The maps of firmware in a text; e820 and EFI of one boot are two. @throws InputError with the line that is wrong */
export function firmwareMaps(file: string, text: string): PhysicalMap[] {
  try {
    return parsePhysical(text);
  } catch (error) {
    if (error instanceof ParseError) throw new InputError(file, error.line, error.reason);
    throw error;
  }
}

export function firmwareMap(file: string, text: string, place: number): MemoryMap {
  const { kind } = firmwareMaps(file, text)[place]!;
  return mapOf(file, SOURCES[kind], (note) => physicalTree(parsePhysical(text, note)[place]!.ranges));
}

function mapOf(file: string, source: string, read: (note: Note) => MemoryRegion): MemoryMap {
  const notes: MapNote[] = [];
  try {
    const root = read((line, text) => notes.push({ line, text }));
    const mappings = FlatView.of(root).ranges.flatMap((range): Mapping[] => {
      const { start, size, region, offset } = range;
      const end = start + size;
      if (end > BigInt(Number.MAX_SAFE_INTEGER)) {
        notes.push({ line: undefined, text: `"${region.name}" ends beyond 2^53: it is not in the map` });
        return [];
      }
      const kind = region.host === undefined ? "mmio" : "ram";
      // Physical memory has no blocks: a page is at its own address.
      const off = region.host === undefined ? Number(offset) : region.host - PHYSICAL_HOST + Number(offset);
      return [{ asId: 0, start: Number(start), end: Number(end), kind, block: region.name, off, flags: 0 }];
    });
    return { title: file, source, mappings, notes };
  } catch (error) {
    if (error instanceof ParseError) throw new InputError(file, error.line, error.reason);
    throw error;
  }
}
