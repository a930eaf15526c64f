/**
 * The text of QEMU's monitor command `info mtree`: what it says becomes FlatViews, and FlatViews become the text of
 * `info mtree -f` again, byte for byte.
 *
 *   FlatView #0
 *    AS "memory", root: system
 *    Root memory region: system
 *     00000000000c0000-00000000000c9fff (prio 0, rom): pc.ram @00000000000c0000 KVM
 *     first            last             priority kind   region offset in it     has a slot
 *
 * Of QEMU 2 to 11, with -f or the tree, which is flattened; with owners (-o), dispatch trees (-d), disabled regions
 * (-D), `info ramblock` beside it; as QMP's reply, or as people paste it.
 *
 * Mirrors mtree_info and mtree_print_flatview (QEMU system/memory.c).
 */
import { checkOptionNames } from "../../kvm/arguments.js";
import { printable } from "../../trace/printable.js";
import { FlatView } from "../flatview.js";
import { endOf, type FlatRange } from "../render.js";
import { flatRanges } from "./mtreeflat.js";
import type { MtreeOptions } from "./mtreeoptions.js";
import { type MtreeDump, type MtreeSpace, scanMtree, type TextNote } from "./mtreescan.js";
import { MtreeTree } from "./mtreetree.js";
import { ParseError } from "./parseerror.js";

/** One view, and who shows it. */
export interface MtreeView {
  /** As in `FlatView #0`; of a tree the place of the address space. */
  readonly number: number;
  /** Address spaces that show it. */
  readonly spaces: readonly MtreeSpace[];
  /** Name of the root region, or "(none)". */
  readonly root: string;
  /** Its ranges. */
  readonly view: FlatView;
  /** Ranges that have a slot are marked KVM. */
  readonly kvm: boolean;
  /** Owner and parent of each range as the text of -o has them, "" where it has none; undefined of a tree. */
  readonly owners?: readonly string[];
}

/** A dump of a text. */
export interface MtreeEntry {
  /** Its first line, counted from 1. */
  readonly line: number;
  /** As -f prints it, or as the tree. */
  readonly kind: "flat" | "tree";
  /** Names of its address spaces. */
  readonly spaces: readonly string[];
}

/** The dumps that a text has, in order. @throws ParseError naming the line */
export function listMtree(text: string): MtreeEntry[] {
  return scanMtree(text).map(({ line, kind, sections }) => ({
    line,
    kind,
    spaces: sections.flatMap(({ spaces }) => spaces.map(({ name }) => name)),
  }));
}

/**
 * Read the text of `info mtree`. What it does not have is as `options` tell.
 * @throws ParseError naming the line
 */
export function parseMtree(text: string, options: MtreeOptions = {}): MtreeView[] {
  checkOptionNames<MtreeOptions>(options, { host: true, device: true, dump: true, note: true });
  const { note = () => {} } = options;
  const dumps = scanMtree(text, note);
  const dump = chosen(dumps, options.dump);
  return dump.kind === "flat" ? flatViews(dump, options, note) : treeViews(dump, options, note);
}

function chosen(dumps: readonly MtreeDump[], place: number | undefined): MtreeDump {
  if (place !== undefined) {
    const dump = dumps[place - 1];
    if (dump === undefined) throw new RangeError(`dump must be from 1 to ${dumps.length}, not ${place}`);
    return dump;
  }
  const [first, second] = dumps;
  if (second !== undefined)
    throw new ParseError(second.line, `another dump begins, of ${dumps.length} in the text`);
  return first!;
}

function flatViews(dump: MtreeDump, options: MtreeOptions, note: TextNote): MtreeView[] {
  return flatRanges(dump, options, note).map((ranges, i) => {
    const { number, spaces, root = "(none)", lines } = dump.sections[i]!;
    const view = FlatView.from(ranges);
    const owners = lines.map(({ owner }) => owner);
    return { number, spaces, root, view, kvm: lines.some(({ marked }) => marked), owners };
  });
}

function treeViews(dump: MtreeDump, options: MtreeOptions, note: TextNote): MtreeView[] {
  const tree = new MtreeTree(dump, options, note);
  const sections = dump.sections.filter(({ kind }) => kind === "tree");
  return sections.map((section, number) => {
    const name = section.lines[0]?.name ?? "(none)";
    const spaces = section.spaces.map((space) => ({ name: space.name, root: name }));
    const view = tree.viewOf(section);
    return { number, spaces, root: view.ranges.length === 0 ? "(none)" : name, view, kvm: false };
  });
}

const KINDS: Readonly<Partial<Record<string, string>>> = { ram: "ram", ramDevice: "ramd", rom: "rom" };

function kindOf({ region, readonly, romd }: FlatRange): string {
  if (readonly) return "rom";
  return romd ? "romd" : (KINDS[region.kind] ?? "i/o");
}

/** Memory in whole pages: what kvm_align_section leaves as it is. */
function hasSlot({ region, romd, start, size, slotless }: FlatRange): boolean {
  if (slotless === true || region.host === undefined || (region.kind === "romDevice" && !romd)) return false;
  return start % 4096n === 0n && size % 4096n === 0n;
}

function formatRange(range: FlatRange, kvm: boolean): string {
  const hex = (value: bigint) => value.toString(16).padStart(16, "0");
  const { region, offset } = range;
  const place = `${hex(range.start)}-${hex(endOf(range) - 1n)}`;
  const where = offset === 0n ? "" : ` @${hex(offset)}`;
  const mark = kvm && hasSlot(range) ? " KVM" : "";
  return `  ${place} (prio ${region.priority}, ${kindOf(range)}): ${printable(region.name)}${where}${mark}\n`;
}

function formatSpace(space: MtreeSpace): string {
  const [name, root, alias] = [space.name, space.root, space.alias].map((text) => text && printable(text));
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
    return `${head} Root memory region: ${printable(root)}\n${ranges.join("")}`;
  });
  return texts.join("\n");
}
