/**
 * The tree that `info mtree` prints without -f: its lines become regions as they were in QEMU, for FlatView to flatten.
 *
 * Not everything is in the text. In this order:
 *  - A disabled region is not printed, its children are (until -D): a line two levels below the one before it lies in
 *    such a region, and nothing of it is seen.
 *  - QEMU before 10 prints a container as i/o. An i/o region that others lie in is taken for a container, which is
 *    noted, but for `io`, the root of ports; one of 4 GiB and more in which nothing lies covers no memory, so that it
 *    may be either. Where the text has the word container, i/o is a device.
 *  - Children stand by address. Of two that overlap with equal priority the text does not tell which is in front,
 *    unless they start at one address: noted where memory is concerned.
 *  - Aliases name their target. Where several have its name, they stand in the order in which aliases first lead there.
 *  - QEMU before 2.9 prints R and W in place of kinds: memory is told by the names of its regions, which is noted.
 */
import { FlatView } from "../flatview.js";
import { MemoryRegion } from "../memoryregion.js";
import { endOf, type FlatRange } from "../render.js";
import { blockKey, MtreeBlocks } from "./mtreeblocks.js";
import type { MtreeLine } from "./mtreeline.js";
import type { MtreeOptions } from "./mtreeoptions.js";
import type { MtreeDump, MtreeSection, TextNote } from "./mtreescan.js";
import { ParseError } from "./parseerror.js";

/** A printed region, and what lies in it. */
interface Node {
  /** Undefined for a region that is disabled and thus not printed. */
  readonly line: MtreeLine | undefined;
  readonly children: Node[];
}

const MEMORY = /^(?:ram|ramd|rom|romd)$/;
const OLD_KIND = /^[R-][W-]$/;
const OLD_MEMORY = /(?:^|[./_ -])(?:[sdn]?v?ram|rom|bios|flash|memory|mem)\d*$/i;

/** The trees of the sections of a dump. */
export class MtreeTree {
  readonly #roots: ReadonlyMap<MtreeSection, Node | undefined>;
  readonly #blocks: MtreeBlocks;
  readonly #options: MtreeOptions;
  readonly #note: TextNote;
  /** The text tells containers from devices. */
  readonly #tellsContainers: boolean;
  readonly #targets = new Map<string, Target[]>();
  /** Which section each alias shows, by all that tells it from others. */
  readonly #shown = new Map<string, number>();
  /** How many of them there are, by their target. */
  readonly #taken = new Map<string, number>();
  readonly #noted = new Set<string>();
  /** How often a region is seen, through aliases too: so much work it is to flatten the tree. */
  #visits = 0;
  #devices = 0;

  readonly #dump: MtreeDump;
  /** There are regions that may be either. */
  readonly #hasLarge: boolean;
  readonly #largeAsDevices: boolean;
  #devicesTree: MtreeTree | undefined;

  /** @throws ParseError naming the line */
  constructor(dump: MtreeDump, options: MtreeOptions, note: TextNote, largeAsDevices = false) {
    this.#dump = dump;
    this.#largeAsDevices = largeAsDevices;
    this.#options = options;
    this.#note = note;
    this.#blocks = new MtreeBlocks(dump.blocks, note);
    const lines = dump.sections.flatMap((section) => section.lines);
    this.#tellsContainers = lines.some(({ kind }) => kind === "container");
    this.#roots = new Map(dump.sections.map((section) => [section, treeOf(section)]));
    for (const section of dump.sections) {
      if (section.kind !== "region") continue;
      const name = section.root!;
      const target = { section, node: this.#roots.get(section), region: undefined, depth: 0, visits: 0 };
      this.#targets.set(name, [...(this.#targets.get(name) ?? []), target]);
    }
    this.#hasLarge = !this.#tellsContainers && !largeAsDevices && lines.some(isLarge);
    this.#placeBlocks(lines);
    this.#noteOldKinds(lines);
    this.#noteContainers();
  }

  /** What an address space shows. */
  viewOf(section: MtreeSection): FlatView {
    const view = this.#flattened(section);
    if (!this.#hasLarge) return view;
    const filled = overlaid(view, this.#asDevices().#flattened(section));
    return filled;
  }

  #flattened(section: MtreeSection): FlatView {
    const node = this.#roots.get(section);
    if (node?.line === undefined || node.line.disabled) return FlatView.from([]);
    const holder = MemoryRegion.container("mtree", 2n ** 64n);
    this.#put(holder, 0n, node, EVERYTHING);
    return FlatView.of(holder);
  }

  /** The same dump, large regions as devices. */
  #asDevices(): MtreeTree {
    this.#devicesTree ??= new MtreeTree(this.#dump, this.#options, () => {}, true);
    return this.#devicesTree;
  }

  #placeBlocks(lines: readonly MtreeLine[]): void {
    for (const line of lines) {
      if (this.#isMemory(line)) this.#blocks.add(blockKey(line), line.name, line.size, line.line);
      const { target, kind } = line;
      // A block that is only ever seen through aliases, and whose own section is not in the text.
      if (target !== undefined && MEMORY.test(kind) && !this.#targets.has(target)) {
        this.#blocks.add(blockKey({ name: target, owner: "" }), target, line.offset + line.size, line.line);
      }
    }
    this.#blocks.place(this.#options.host);
  }

  #isMemory({ kind, target, name }: MtreeLine): boolean {
    return target === undefined && (MEMORY.test(kind) || (OLD_KIND.test(kind) && OLD_MEMORY.test(name)));
  }

  #noteOldKinds(lines: readonly MtreeLine[]): void {
    const old = lines.find(({ kind }) => OLD_KIND.test(kind));
    if (old === undefined) return;
    const names = new Set(lines.filter((line) => this.#isMemory(line)).map(({ name }) => name));
    const guess = names.size === 0 ? "none is" : `by their names ${[...names].join(", ")} are`;
    this.#note(old.line, `QEMU before 2.9 does not tell memory from devices: ${guess} taken for memory`);
  }

  /** Make what of a node lies in `clip`, at the address it has in `container`, which starts at `start`. */
  #put(container: MemoryRegion, start: bigint, node: Node, clip: Clip): void {
    const { line, children } = node;
    if (line === undefined || line.disabled || !meets(line, clip)) return;
    this.#visit(1, line);
    const region =
      line.target === undefined ? this.#regionOf(line, children) : this.#aliasOf(line, container, clip);
    if (region === undefined) return;
    const address = line.start - start;
    if (address < 0n) throw new ParseError(line.line, "the region starts before the one that it lies in");
    container.addSubregion(address, region, clampPriority(line.priority));
    if (line.target !== undefined) return;
    this.#noteOrder(children);
    for (const child of inFrontLast(children)) this.#put(region, line.start, child, clip);
  }

  #visit(count: number, line: MtreeLine): void {
    this.#visits += count;
    if (this.#visits > VISITS_MAX) {
      throw new ParseError(line.line, `aliases show regions more than ${VISITS_MAX} times`);
    }
  }

  #regionOf(line: MtreeLine, children: readonly Node[]): MemoryRegion {
    const { name, kind, size } = line;
    if (this.#isMemory(line)) {
      const host = this.#blocks.host(blockKey(line));
      if (kind === "romd") return MemoryRegion.romDevice(name, size, host, this.#deviceOf(name));
      if (kind === "rom" || kind === "R-") return MemoryRegion.rom(name, size, host);
      if (kind === "ramd") return MemoryRegion.ramDevice(name, size, host);
      return MemoryRegion.ram(name, size, host);
    }
    if (kind === "container" || (!this.#tellsContainers && this.#isContainer(line, children))) {
      return MemoryRegion.container(name, size);
    }
    return MemoryRegion.io(name, size, this.#deviceOf(name));
  }

  #isContainer(line: MtreeLine, children: readonly Node[]): boolean {
    if (isPortRoot(line)) return false;
    const holds = children.some((child) => child.line !== undefined);
    return holds || (isLarge(line) && !this.#largeAsDevices);
  }

  #noteContainers(): void {
    if (this.#tellsContainers) return;
    const names = new Set<string>();
    let first: MtreeLine | undefined;
    const walk = ({ line, children }: Node) => {
      if (line?.kind === "i/o" && line.target === undefined && this.#isContainer(line, children)) {
        names.add(line.name);
        if (first === undefined || line.line < first.line) first = line;
      }
      children.forEach(walk);
    };
    for (const node of this.#roots.values()) if (node !== undefined) walk(node);
    if (first === undefined) return;
    const some = [...names].slice(0, 6).join(", ") + (names.size > 6 ? ` and ${names.size - 6} more` : "");
    this.#note(first.line, `this QEMU prints containers as i/o: taken for containers are ${some}`);
  }

  #deviceOf(name: string): number {
    return this.#options.device === undefined ? this.#devices++ : this.#options.device(name, 0);
  }

  #aliasOf(line: MtreeLine, container: MemoryRegion, clip: Clip): MemoryRegion | undefined {
    const target = this.#targetOf(line, container, clip);
    if (target === undefined) return undefined;
    return MemoryRegion.alias(line.name, target, line.offset, line.size);
  }

  #targetOf(line: MtreeLine, container: MemoryRegion, clip: Clip): MemoryRegion | undefined {
    const name = line.target!;
    const targets = this.#targets.get(name);
    if (targets === undefined) return this.#missingTarget(line, name);
    const place = targets.length === 1 ? 0 : this.#placeOf(line, container, targets);
    const target = targets[place]!;
    if (target.depth > 0) return this.#part(line, target, clip);
    if (target.region !== undefined) this.#visit(target.visits, line);
    else {
      const before = this.#visits;
      target.region = this.#build(target, EVERYTHING);
      target.visits = this.#visits - before;
    }
    return target.region;
  }

  /** An alias shows what it lies in itself, elsewhere: a copy of the part that is seen, so that it comes to an end. */
  #part(line: MtreeLine, target: Target, clip: Clip): MemoryRegion {
    if (target.depth > DEPTH_MAX) {
      throw new ParseError(line.line, `"${line.name}" shows "${line.target}", in which it lies itself`);
    }
    const first = target.node?.line?.start ?? 0n;
    const start = line.start > clip.start ? line.start : clip.start;
    const [end, clipEnd] = [line.start + line.size, clip.start + clip.size];
    const size = (end < clipEnd ? end : clipEnd) - start;
    return this.#build(target, { start: first + line.offset + (start - line.start), size });
  }

  /** A region by itself: aliases count their offset from its first byte. */
  #build(target: Target, clip: Clip): MemoryRegion {
    const { node, section } = target;
    const nothing = () => MemoryRegion.container(section.root!, 0n);
    if (node?.line === undefined || node.line.disabled) return nothing();
    const holder = MemoryRegion.container("mtree", 2n ** 64n);
    target.depth++;
    this.#put(holder, 0n, node, clip);
    target.depth--;
    return holder.subregions[0] ?? nothing();
  }

  #missingTarget(line: MtreeLine, name: string): MemoryRegion | undefined {
    const { kind, offset, size } = line;
    if (MEMORY.test(kind)) {
      const key = blockKey({ name, owner: "" });
      const bytes = this.#blocks.size(key);
      const host = this.#blocks.host(key);
      return kind === "rom" ? MemoryRegion.rom(name, bytes, host) : MemoryRegion.ram(name, bytes, host);
    }
    this.#noteOnce(
      line.line,
      `"${line.name}" shows "${name}", which the text does not have: nothing is there`,
      name,
    );
    return kind === "i/o" && !this.#tellsContainers ? undefined : MemoryRegion.container(name, offset + size);
  }

  /** Which of several regions of one name an alias shows: the next one, if it has not been met before. */
  #placeOf(line: MtreeLine, container: MemoryRegion, targets: readonly Target[]): number {
    const { name, target, offset, size, start, owner } = line;
    const key = JSON.stringify([target, name, `${offset} ${size} ${start}`, owner, container.name]);
    const known = this.#shown.get(key);
    if (known !== undefined) return known;
    const taken = this.#taken.get(target!) ?? 0;
    this.#taken.set(target!, taken + 1);
    const place = Math.min(taken, targets.length - 1);
    this.#shown.set(key, place);
    const several = `${targets.length} regions are called "${target}"`;
    this.#noteOnce(
      line.line,
      `${several}: aliases lead to them in the order of the text`,
      `several ${target}`,
    );
    return place;
  }

  /** Children of one priority that overlap and start apart: which is in front is not told. */
  #noteOrder(children: readonly Node[]): void {
    const lines = children.flatMap(({ line }) => (line === undefined || line.disabled ? [] : [line]));
    const furthest = new Map<number, MtreeLine>();
    for (const line of lines) {
      const before = furthest.get(line.priority);
      const isOver =
        before !== undefined && before.start + before.size > line.start && before.start < line.start;
      if (isOver && [before, line].some(({ kind }) => MEMORY.test(kind))) {
        const pair = `"${before.name}" and "${line.name}" overlap with equal priority`;
        this.#noteOnce(line.line, `${pair}: the text does not tell which is in front`, `order ${pair}`);
      }
      if (before === undefined || line.start + line.size > before.start + before.size) {
        furthest.set(line.priority, line);
      }
    }
  }

  /** A region that several trees show is noted once. */
  #noteOnce(line: number, text: string, key: string): void {
    if (this.#noted.has(key)) return;
    this.#noted.add(key);
    this.#note(line, text);
  }
}

/** What a `memory-region:` section says. */
interface Target {
  readonly section: MtreeSection;
  readonly node: Node | undefined;
  region: MemoryRegion | undefined;
  /** How often it is being built at present. */
  depth: number;
  /** How many regions are seen where it is. */
  visits: number;
}

/** Guest bytes of a section. */
type Clip = Pick<MtreeLine, "start" | "size">;

const EVERYTHING: Clip = { start: 0n, size: 2n ** 64n };
/** Aliases of what they lie in, one in another: QEMU would not come to an end much earlier. */
const DEPTH_MAX = 64;
/** The largest of recorded machines has some thousands. */
const VISITS_MAX = 2 ** 20;

/** The ports of QEMU's memory_map_init answer where no device does. */
function isPortRoot({ name, size }: MtreeLine): boolean {
  return name === "io" && size === 0x1_0000n;
}

/** No device is that large, but for what translates or catches all the rest. */
function isLarge({ kind, target, size }: MtreeLine): boolean {
  return kind === "i/o" && target === undefined && size >= 2n ** 32n;
}

/** `view`, and in its gaps the devices of `below`. */
function overlaid(view: FlatView, below: FlatView): FlatView {
  const ranges: FlatRange[] = [];
  let [at, i] = [0n, 0];
  const fill = (end: bigint) => {
    for (; i < below.ranges.length && below.ranges[i]!.start < end; i++) {
      const range = below.ranges[i]!;
      const start = range.start > at ? range.start : at;
      const last = endOf(range) < end ? endOf(range) : end;
      if (start < last && range.region.kind === "io") {
        ranges.push({ ...range, start, size: last - start, offset: range.offset + (start - range.start) });
      }
      if (endOf(range) > end) break;
    }
  };
  for (const range of view.ranges) {
    fill(range.start);
    ranges.push(range);
    at = endOf(range);
  }
  fill(2n ** 64n);
  return FlatView.from(ranges);
}

/**
 * Children in the order in which they are to be added. Of two that start at one address the first is in front; of two
 * that only overlap the smaller, because a machine puts what is special over what is general.
 */
function inFrontLast(children: readonly Node[]): Node[] {
  const place = new Map(children.map((child, i) => [child, i]));
  const isFirst = (a: Node, b: Node) => {
    if (a.line === undefined || b.line === undefined || a.line.start === b.line.start) return 0;
    return a.line.size < b.line.size ? 1 : a.line.size > b.line.size ? -1 : 0;
  };
  return [...children].sort((a, b) => isFirst(a, b) || place.get(b)! - place.get(a)!);
}

function clampPriority(priority: number): number {
  return Number.isSafeInteger(priority) ? priority : 0;
}

function meets(a: Clip, b: Clip): boolean {
  return a.start < b.start + b.size && b.start < a.start + a.size;
}

/** What lies in what. @throws ParseError naming the line whose indent no level has */
function treeOf(section: MtreeSection): Node | undefined {
  const top: Node = { line: undefined, children: [] };
  /** The open region of each level. */
  const open: Node[] = [top];
  for (const line of section.lines) {
    const level = (line.indent - section.indent) / 2;
    if (!Number.isInteger(level) || level < 1) {
      throw new ParseError(line.line, "the indent is lost, which tells what lies in what: use info mtree -f");
    }
    if (level < open.length) open.length = level;
    const parent = open.at(-1)!;
    const strays =
      parent.line !== undefined && (parent.line.target !== undefined || !meets(parent.line, line));
    // Its parent is disabled, and therefore not printed.
    if (strays) open.length--;
    while (open.length < level) {
      const hidden: Node = { line: undefined, children: [] };
      open.at(-1)!.children.push(hidden);
      open.push(hidden);
    }
    const node: Node = { line, children: [] };
    open.at(-1)!.children.push(node);
    open.push(node);
  }
  return top.children.find(({ line }) => line !== undefined) ?? top.children[0];
}
