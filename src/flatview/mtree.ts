/**
 * The text of QEMU's monitor command `info mtree -f`: what it says becomes FlatViews, and FlatViews become such
 * a text again, byte for byte.
 *
 *   FlatView #0
 *    AS "memory", root: system
 *    Root memory region: system
 *     00000000000c0000-00000000000c9fff (prio 0, rom): pc.ram @00000000000c0000 KVM
 *     first            last             priority kind   region offset in it     has a slot
 *
 * The text tells regions by name. Memory of one name is one RAM block. A device line belongs to the device of
 * its name, unless an earlier line has shown those of its registers already: then it is another device of that
 * name (virtio-mmio). A block that one line calls ram is RAM, and its rom lines are write-protected parts of it
 * (PAM); a block that is rom everywhere is a ROM.
 *
 * Mirrors mtree_print_flatview (QEMU system/memory.c).
 */
import { FlatView } from "./flatview.js";
import { layOutHosts } from "./hosts.js";
import { MemoryRegion } from "./memoryregion.js";
import { linesOf, ParseError } from "./parseerror.js";
import { endOf, type FlatRange } from "./render.js";

/** An address space that shows a view. */
export interface MtreeSpace {
  /** As in `AS "memory"`. */
  readonly name: string;
  /** Name of its root region. */
  readonly root: string;
  /** The region that the root is an alias of. */
  readonly alias?: string;
}

/** One view, and who shows it. */
export interface MtreeView {
  /** As in `FlatView #0`. */
  readonly number: number;
  /** Address spaces that show it. */
  readonly spaces: readonly MtreeSpace[];
  /** Name of the root region, or "(none)". */
  readonly root: string;
  /** Its ranges. */
  readonly view: FlatView;
  /** Ranges that have a slot are marked KVM. */
  readonly kvm: boolean;
}

/** Where names lead. */
export interface MtreeOptions {
  /** Host address of a block's first byte; if not given, blocks are laid out one behind the other. */
  host?: (name: string, bytes: bigint) => number;
  /** Number of a device; if not given, they are counted from 0 in the order of the text. */
  device?: (name: string, instance: number) => number;
}

interface Line {
  readonly line: number;
  readonly start: bigint;
  readonly size: bigint;
  readonly priority: number;
  readonly kind: string;
  readonly name: string;
  readonly offset: bigint;
  readonly kvm: boolean;
}

interface Section {
  readonly number: number;
  readonly spaces: MtreeSpace[];
  root: string | undefined;
  readonly lines: Line[];
}

const RANGE =
  /^ {2}([0-9a-f]{16})-([0-9a-f]{16}) \(prio (-?\d+), (ram|ramd|rom|romd|i\/o)\): (.*?)(?: @([0-9a-f]{16}))?( KVM)?$/;
const SPACE = /^ AS "(.*)", root: (.*?)(?:, alias (.*))?$/;

function parseRange(text: string, line: number): Line {
  const found = RANGE.exec(text);
  if (found === null) throw new ParseError(line, `not a range of a FlatView: ${JSON.stringify(text)}`);
  const [, first, last, priority, kind, name, offset, kvm] = found as (string | undefined)[] as string[];
  const start = BigInt(`0x${first}`);
  const size = BigInt(`0x${last}`) - start + 1n;
  if (size <= 0n) throw new ParseError(line, "the range ends before it starts");
  return {
    line,
    start,
    size,
    priority: Number(priority),
    kind: kind!,
    name: name!,
    offset: offset === undefined ? 0n : BigInt(`0x${offset}`),
    kvm: kvm !== undefined,
  };
}

function parseSections(text: string): Section[] {
  const sections: Section[] = [];
  linesOf(text).forEach((content, i) => {
    const line = i + 1;
    if (content === "") return;
    const head = /^FlatView #(\d+)$/.exec(content);
    if (head !== null) {
      sections.push({ number: Number(head[1]), spaces: [], root: undefined, lines: [] });
      return;
    }
    const section = sections.at(-1);
    if (section === undefined)
      throw new ParseError(line, `the text must begin with "FlatView #", as of info mtree -f`);
    const space = SPACE.exec(content);
    const root = /^ Root memory region: (.*)$/.exec(content);
    if (space !== null) {
      const [, name, of, alias] = space as (string | undefined)[] as [string, string, string, string?];
      section.spaces.push({ name, root: of, ...(alias === undefined ? {} : { alias }) });
    } else if (root !== null) section.root = root[1]!;
    else if (content !== "  No rendered FlatView") {
      const range = parseRange(content, line);
      const before = section.lines.at(-1);
      if (before !== undefined && endOf(before) > range.start) {
        throw new ParseError(
          line,
          `the range must start behind the one before it, at 0x${endOf(before).toString(16)}`,
        );
      }
      section.lines.push(range);
    }
  });
  if (sections.length === 0) throw new ParseError(1, "the text has no FlatView");
  return sections;
}

/** Lines that are about one region. */
interface Group {
  readonly name: string;
  readonly priority: number;
  /** Which of the devices of its name. */
  readonly instance: number;
  /** No device only, so that it has a RAM block. */
  readonly memory: boolean;
  readonly lines: Line[];
}

function overlap(a: Line, b: Line): boolean {
  return a.offset < b.offset + b.size && b.offset < a.offset + a.size;
}

/** Sort the lines of all views by region. A device that two views show is one device. */
function groupLines(sections: readonly Section[]): Group[] {
  const memory = new Set(
    sections.flatMap(({ lines }) => lines.filter(({ kind }) => kind !== "i/o").map(({ name }) => name)),
  );
  const groups = new Map<string, Group>();
  for (const { lines } of sections) {
    const shown = new Map<Group, Line[]>();
    for (const line of lines) {
      const { name, priority } = line;
      for (let instance = 0; ; instance++) {
        const key = JSON.stringify([name, priority, instance]);
        const group = groups.get(key) ?? { name, priority, instance, memory: memory.has(name), lines: [] };
        groups.set(key, group);
        const here = shown.get(group) ?? [];
        if (!group.memory && here.some((other) => overlap(other, line))) continue;
        shown.set(group, [...here, line]);
        group.lines.push(line);
        break;
      }
    }
  }
  return [...groups.values()];
}

function sizeOf(lines: readonly Line[]): bigint {
  return lines.reduce((size, { offset, size: bytes }) => (offset + bytes > size ? offset + bytes : size), 0n);
}

function blockSizes(groups: readonly Group[]): Map<string, bigint> {
  const sizes = new Map<string, bigint>();
  for (const { name, lines, memory } of groups) {
    const size = sizeOf(lines);
    if (memory && size > (sizes.get(name) ?? 0n)) sizes.set(name, size);
  }
  return sizes;
}

/** A region for each group of lines. */
function regionsOf(groups: readonly Group[], options: MtreeOptions): Map<Line, MemoryRegion> {
  const sizes = blockSizes(groups);
  const hosts = options.host === undefined ? layOutHosts(sizes) : undefined;
  let devices = 0;
  const deviceOf = options.device ?? (() => devices++);
  // A text does not tell the tree; a region has its priority from where it lies.
  const shelf = MemoryRegion.container("mtree", 2n ** 64n);
  const regions = new Map<Line, MemoryRegion>();
  for (const { name, priority, instance, memory, lines } of groups) {
    const size = sizes.get(name) ?? sizeOf(lines);
    const host = memory ? (hosts?.get(name) ?? options.host!(name, size)) : 0;
    const every = (kind: string) => lines.every((line) => line.kind === kind);
    let region: MemoryRegion;
    if (!memory) region = MemoryRegion.io(name, size, deviceOf(name, instance));
    else if (lines.some(({ kind }) => kind === "romd" || kind === "i/o")) {
      region = MemoryRegion.romDevice(name, size, host, deviceOf(name, instance));
    } else if (every("rom")) region = MemoryRegion.rom(name, size, host);
    else if (lines.some(({ kind }) => kind === "ramd")) region = MemoryRegion.ramDevice(name, size, host);
    else region = MemoryRegion.ram(name, size, host);
    shelf.addSubregion(0, region, priority);
    for (const line of lines) regions.set(line, region);
  }
  return regions;
}

/**
 * Read the text of `info mtree -f`. Host addresses and device numbers, which it does not have, are as `options`
 * tell.
 * @throws ParseError naming the line
 */
export function parseMtree(text: string, options: MtreeOptions = {}): MtreeView[] {
  const sections = parseSections(text);
  const regions = regionsOf(groupLines(sections), options);
  return sections.map(({ number, spaces, root = "(none)", lines }) => {
    const ranges = lines.map((line): FlatRange => {
      const { start, size, offset, kind } = line;
      const region = regions.get(line)!;
      return { start, size, region, offset, readonly: kind === "rom", romd: kind === "romd", log: false };
    });
    return { number, spaces, root, view: FlatView.from(ranges), kvm: lines.some(({ kvm }) => kvm) };
  });
}

const KINDS: Readonly<Partial<Record<string, string>>> = { ram: "ram", ramDevice: "ramd", rom: "rom" };

function kindOf({ region, readonly, romd }: FlatRange): string {
  if (readonly) return "rom";
  return romd ? "romd" : (KINDS[region.kind] ?? "i/o");
}

/** Memory in whole pages: what kvm_align_section leaves as it is. */
function hasSlot({ region, romd, start, size }: FlatRange): boolean {
  if (region.host === undefined || (region.kind === "romDevice" && !romd)) return false;
  return start % 4096n === 0n && size % 4096n === 0n;
}

function formatRange(range: FlatRange, kvm: boolean): string {
  const hex = (value: bigint) => value.toString(16).padStart(16, "0");
  const { region, offset } = range;
  const place = `${hex(range.start)}-${hex(endOf(range) - 1n)}`;
  const where = offset === 0n ? "" : ` @${hex(offset)}`;
  const mark = kvm && hasSlot(range) ? " KVM" : "";
  return `  ${place} (prio ${region.priority}, ${kindOf(range)}): ${region.name}${where}${mark}\n`;
}

function formatSpace({ name, root, alias }: MtreeSpace): string {
  return ` AS "${name}", root: ${root}${alias === undefined ? "" : `, alias ${alias}`}\n`;
}

/** The text that `info mtree -f` prints of these views; a view alone is that of the address space "memory". */
export function formatMtree(views: readonly (MtreeView | FlatView)[]): string {
  const texts = views.map((given, i) => {
    const spaces = [{ name: "memory", root: "system" }];
    const shown =
      given instanceof FlatView ? { number: i, spaces, root: "system", view: given, kvm: true } : given;
    const { number, root, view, kvm } = shown;
    const ranges = view.ranges.map((range) => formatRange(range, kvm));
    if (ranges.length === 0) ranges.push("  No rendered FlatView\n");
    const head = `FlatView #${number}\n${shown.spaces.map(formatSpace).join("")}`;
    return `${head} Root memory region: ${root}\n${ranges.join("")}`;
  });
  return texts.join("\n");
}
