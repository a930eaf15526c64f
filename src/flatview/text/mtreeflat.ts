/**
 * Views of `info mtree -f`: its lines become regions and ranges.
 *
 * The text tells regions by name. Memory of one name is one RAM block. A device line belongs to the device of its
 * name, unless an earlier line has shown those of its registers already: then it is another device of that name
 * (virtio-mmio). A block that one line calls ram is RAM, and its rom lines are write-protected parts of it (PAM); a
 * block that is rom everywhere is a ROM.
 *
 * In a view that has marks, memory without one has no slot: KVM does not map what is not whole pages of the host.
 */
import { MemoryRegion } from "../memoryregion.js";
import type { FlatRange } from "../render.js";
import { blockKey, MtreeBlocks } from "./mtreeblocks.js";
import type { MtreeLine } from "./mtreeline.js";
import type { MtreeOptions } from "./mtreeoptions.js";
import type { MtreeDump, MtreeSection, TextNote } from "./mtreescan.js";

const PAGE_BYTES = 4096n;

/** Lines that are about one region. */
interface Group {
  readonly name: string;
  readonly priority: number;
  /** Which of the devices, or blocks, of its name. */
  readonly instance: number;
  /** No device only, so that it has a RAM block. */
  readonly memory: boolean;
  readonly lines: MtreeLine[];
}

function isDevice({ kind }: MtreeLine): boolean {
  return kind === "i/o" || kind === "container";
}

/** Lines that are about one region: they do not overlap in it, and ascend. Adds one. @returns false if it overlaps */
function addTo(lines: MtreeLine[], line: MtreeLine): boolean {
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle]!.offset <= line.offset) low = middle + 1;
    else high = middle;
  }
  if ([lines[low - 1], lines[low]].some((other) => other !== undefined && overlap(other, line))) return false;
  lines.splice(low, 0, line);
  return true;
}

function overlap(a: MtreeLine, b: MtreeLine): boolean {
  return a.offset < b.offset + b.size && b.offset < a.offset + a.size;
}

/** What the lines of memory of one name and owner say together, and its lines as a device. */
interface Named {
  readonly kinds: Set<string>;
  end: bigint;
  deviceEnd: bigint;
}

function namedOf(sections: readonly MtreeSection[]): Map<string, Named> {
  const all = new Map<string, Named>();
  for (const line of sections.flatMap(({ lines }) => lines)) {
    const key = blockKey(line);
    const named = all.get(key) ?? { kinds: new Set(), end: 0n, deviceEnd: 0n };
    const end = line.offset + line.size;
    if (isDevice(line)) named.deviceEnd = end > named.deviceEnd ? end : named.deviceEnd;
    else {
      named.kinds.add(line.kind);
      named.end = end > named.end ? end : named.end;
    }
    all.set(key, named);
  }
  return all;
}

/** It is memory, or flash that is not in its readable mode: all of that is i/o, but for what an alias protects. */
function isMemoryLine(line: MtreeLine, { kinds, end, deviceEnd }: Named): boolean {
  if (!isDevice(line) || kinds.has("romd")) return !isDevice(line) || kinds.size > 0;
  return kinds.size === 1 && kinds.has("rom") && deviceEnd >= end;
}

/** Sort the lines of all views by region. A device that two views show is one device. */
function groupLines(sections: readonly MtreeSection[], blocks: MtreeBlocks): Group[] {
  const named = namedOf(sections);
  const groups = new Map<string, Group>();
  for (const { lines } of sections) {
    /** The devices, or blocks, of one name that have been shown so far. */
    const shown = new Map<string, MtreeLine[][]>();
    /** The instance to begin with: those before it have shown a range, or all there is to a whole region. */
    const first = new Map<string, number>();
    for (const line of lines) {
      const { name, priority, offset, size } = line;
      const isMemory = isMemoryLine(line, named.get(blockKey(line))!);
      const several = !isMemory || (line.owner === "" && blocks.count(name) > 1);
      const place = JSON.stringify([blockKey(line), priority, isMemory]);
      let instance = 0;
      if (several) {
        const here = shown.get(place) ?? [];
        shown.set(place, here);
        const range = `${place} ${offset === 0n ? "" : `${offset} ${size}`}`;
        for (instance = first.get(range) ?? 0; ; instance++) {
          here[instance] ??= [];
          if (addTo(here[instance]!, line)) break;
        }
        first.set(range, instance);
      }
      const key = JSON.stringify([place, instance]);
      const group = groups.get(key) ?? { name, priority, instance, memory: isMemory, lines: [] };
      groups.set(key, group);
      group.lines.push(line);
    }
  }
  return [...groups.values()];
}

function sizeOf(lines: readonly MtreeLine[]): bigint {
  return lines.reduce((size, { offset, size: bytes }) => (offset + bytes > size ? offset + bytes : size), 0n);
}

/** RAM that one view has twice may be two blocks of one name: the text alone does not tell. */
function noteTwins(sections: readonly MtreeSection[], blocks: MtreeBlocks, note: TextNote): void {
  for (const { lines } of sections) {
    const before = new Map<string, MtreeLine>();
    const noted = new Set<string>();
    for (const line of lines) {
      if (line.kind !== "ram" && line.kind !== "ramd") continue;
      const key = blockKey(line);
      if (noted.has(key)) continue;
      const twin = before.get(key);
      if (twin === undefined) before.set(key, line);
      else if (line.owner === "" && blocks.count(line.name) < 2 && overlap(twin, line)) {
        const more =
          "an alias, or another block of that name; info mtree -f -o or info ramblock beside it tells";
        note(line.line, `"${line.name}" is mapped twice, here and in line ${twin.line}: ${more}`);
        noted.add(key);
      }
    }
  }
}

/** A region for each group of lines. */
function regionsOf(
  groups: readonly Group[],
  blocks: MtreeBlocks,
  options: MtreeOptions,
): Map<MtreeLine, MemoryRegion> {
  const keyOf = ({ lines, instance }: Group) => blockKey(lines[0]!, instance);
  for (const group of groups) {
    if (group.memory) blocks.add(keyOf(group), group.name, sizeOf(group.lines), group.lines[0]!.line);
  }
  blocks.place(options.host);
  let devices = 0;
  const deviceOf = options.device ?? (() => devices++);
  // A text does not tell the tree; a region has its priority from where it lies.
  const shelves = new Map<number, MemoryRegion>();
  const regions = new Map<MtreeLine, MemoryRegion>();
  for (const group of groups) {
    const { name, priority, instance, memory, lines } = group;
    const size = memory ? blocks.size(keyOf(group)) : sizeOf(lines);
    const host = memory ? blocks.host(keyOf(group)) : 0;
    const every = (kind: string) => lines.every((line) => line.kind === kind);
    let region: MemoryRegion;
    if (!memory) region = MemoryRegion.io(name, size, deviceOf(name, instance));
    else if (lines.some((line) => line.kind === "romd" || isDevice(line))) {
      region = MemoryRegion.romDevice(name, size, host, deviceOf(name, instance));
    } else if (every("rom")) region = MemoryRegion.rom(name, size, host);
    else if (lines.some(({ kind }) => kind === "ramd")) region = MemoryRegion.ramDevice(name, size, host);
    else region = MemoryRegion.ram(name, size, host);
    const shelf = shelves.get(priority) ?? MemoryRegion.container("mtree", 2n ** 64n);
    shelves.set(priority, shelf);
    shelf.addSubregion(0, region, priority);
    for (const line of lines) regions.set(line, region);
  }
  return regions;
}

/** The ranges of each view of a dump. @throws ParseError naming the line */
export function flatRanges(dump: MtreeDump, options: MtreeOptions, note: TextNote): FlatRange[][] {
  const blocks = new MtreeBlocks(dump.blocks, note);
  noteTwins(dump.sections, blocks, note);
  const regions = regionsOf(groupLines(dump.sections, blocks), blocks, options);
  const devices = new Set([...regions].filter(([line]) => isDevice(line)).map(([, region]) => region));
  return dump.sections.map(({ lines }) => {
    const marks = lines.some(({ marked }) => marked);
    return lines.map((line): FlatRange => {
      const { start, size, offset, kind, marked } = line;
      const region = regions.get(line)!;
      const readonly = kind === "rom";
      // Flash through a write-protecting alias prints as rom: the mark tells its mode, or else its other lines.
      const isFlash = readonly && region.kind === "romDevice";
      const romd = kind === "romd" || (isFlash && (marks ? marked : !devices.has(region)));
      // KVM has whole pages only, and QEMU marks no range that it has a part of.
      const isWhole = start % PAGE_BYTES === 0n && size % PAGE_BYTES === 0n;
      const slotless = marks && !marked && isWhole && !isDevice(line) && !isFlash;
      return { start, size, region, offset, readonly, romd, log: false, ...(slotless && { slotless }) };
    });
  });
}
