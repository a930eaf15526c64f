/**
 * Parts of which a drawing of a map is made: a column of guest memory, a column of RAM blocks, ribbons between
 * them. Pure functions of where things are, as SVG elements of Preact: rendered to text they are a file, in a
 * page they follow the engine. How they look is in style.ts; nothing is told by colour alone.
 */
import type { VNode } from "preact";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../kvm/uapi.js";
import { hexText, sizeText } from "../replay/format.js";
import { printable } from "../trace/printable.js";
import { element } from "./element.js";
import { Fold } from "./fold.js";
import { heatOf } from "./heat.js";
import { blockRanges, bytesOf, HOST, type Mapping, PAGE_BYTES } from "./memorymap.js";
import type { Box } from "./page.js";

/** All lengths are units of the drawing, of which text is 11 high. */
export const ROW = 20;
const GAP = 15;
const BLOCK_HEAD = 20;
const BLOCK_GAP = 18;
const LOG_UNIT = 4.4;
const LENGTH_MAX = 84;
const HEAT_PARTS = 48;
const HEAT_HEIGHT = 4;
/** Rows that are lower have no room for a second line. */
const TWO_LINES = 34;
/** Number of hues in style.ts. */
const HUES = 6;

/** From x on to the right. */
export interface Column {
  readonly x: number;
  readonly width: number;
}

/** The logarithm of 64 KiB and less is one row. */
function pieceLength(bytes: number, used: boolean): number {
  if (!used) return GAP;
  return Math.min(LENGTH_MAX, ROW + LOG_UNIT * Math.max(0, Math.log2(bytes / 0x10000)));
}

/** The guest addresses of these mappings, of one address space. */
export function guestFold(mappings: readonly Mapping[], at: number): Fold {
  return new Fold(mappings, pieceLength, at);
}

/** A RAM block: what of it is mapped, one below the other. */
export interface BlockFold {
  readonly name: string;
  readonly hue: number;
  readonly at: number;
  readonly fold: Fold;
}

/** The blocks of these mappings in the order in which they first appear, the first at `at`. */
export function blockFolds(mappings: readonly Mapping[], at: number): BlockFold[] {
  let place = at;
  return [...blockRanges(mappings)].map(([name, ranges], index) => {
    const block = {
      name,
      hue: index % HUES,
      at: place,
      fold: new Fold(ranges, pieceLength, place + BLOCK_HEAD),
    };
    place = block.fold.end + BLOCK_GAP;
    return block;
  });
}

export function endOf(blocks: readonly BlockFold[]): number {
  return blocks.at(-1)?.fold.end ?? 0;
}

/** Patterns for what a flag means; once in every drawing. */
export function patterns(): VNode {
  const pattern = (id: string, size: number, child: VNode) =>
    element("pattern", { id, width: size, height: size, patternUnits: "userSpaceOnUse" }, child);
  return element("defs", null, [
    pattern("readonly", 7, element("path", { d: "M-1,1 l2,-2 M0,7 l7,-7 M6,8 l2,-2", class: "hatch" })),
    pattern("log", 6, element("circle", { cx: 3, cy: 3, r: 0.9, class: "dot" })),
  ]);
}

/** Names of the flags where room is short. */
function marks(flags: number): string {
  const readonly = (flags & KVM_MEM_READONLY) !== 0 ? " READONLY" : "";
  return readonly + ((flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0 ? " LOG" : "");
}

/** A block as it is written. */
function blockName(block: string): string {
  return block === HOST ? "host" : printable(block);
}

function nameOf({ kind, block, slot, run }: Box): string {
  if (run !== undefined) return run.name;
  if (kind === "mmio") return printable(block);
  return slot === undefined ? blockName(block) : `slot ${slot & 0xffff}`;
}

/** `text` cut to what `width` has room for. */
function fitted(text: string, width: number): string {
  const room = Math.floor(width / 6.7);
  return text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}…`;
}

/** The name with the flags' names if there is room; the patterns tell them too. */
function shortest(name: string, flagMarks: string, width: number): string {
  const whole = name + flagMarks;
  return whole.length * 6.7 <= width ? whole : fitted(name, width);
}

/** A box as wide as the column, for one mapping. */
function box(mapping: Box, hue: number | undefined, fold: Fold, { x, width }: Column): VNode {
  const y = fold.place(mapping.start);
  const height = fold.place(mapping.end) - y;
  const { kind, block, off, flags, dirty } = mapping;
  const rect = { x, y, width, height, rx: 2 };
  const size = sizeText(mapping.run?.bytes ?? bytesOf(mapping));
  const name = shortest(nameOf(mapping), marks(flags), width - 16 - 6.7 * size.length);
  const place = block === HOST ? hexText(off) : `${printable(block)} ${hexText(off)}`;
  const range = `${hexText(mapping.start)} – ${hexText(mapping.end)}`;
  const tip = `${range} ${size}: ${nameOf(mapping)}${marks(flags)}${mapping.run === undefined ? `, ${place}` : ""}`;
  const hasTwo = kind === "ram" && height >= TWO_LINES;
  return element(
    "g",
    {
      key: `${mapping.start}-${block}-${off - mapping.start}`,
      class: kind === "ram" ? `box hue${hue}` : "box mmio",
    },
    [
      element("title", null, tip),
      element("rect", { ...rect, class: "fill" }),
      (flags & KVM_MEM_READONLY) !== 0 && element("rect", { ...rect, fill: "url(#readonly)" }),
      (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0 && element("rect", { ...rect, fill: "url(#log)" }),
      dirty !== undefined && heatStrip(mapping, dirty, { x, width }, y + height),
      element("text", { x: x + 8, y: y + 14 }, name),
      element("text", { x: x + width - 8, y: y + 14, class: "end" }, size),
      hasTwo && element("text", { x: x + 8, y: y + 28, class: "quiet" }, fitted(place, width - 16)),
    ],
  );
}

/** Along the lower edge of a box: the more of a part is dirty, the higher. */
function heatStrip(mapping: Mapping, dirty: Uint8Array, { x, width }: Column, bottom: number): VNode {
  const { parts } = heatOf(dirty, bytesOf(mapping) / PAGE_BYTES, HEAT_PARTS);
  const each = width / parts.length;
  return element(
    "g",
    { class: "heat" },
    parts.map((share, part) => {
      const height = share === 0 ? 0 : 1 + share * HEAT_HEIGHT;
      return element("rect", { key: part, x: x + part * each, y: bottom - height, width: each, height });
    }),
  );
}

export interface GuestColumnProps {
  readonly fold: Fold;
  readonly mappings: readonly Box[];
  readonly blocks: readonly BlockFold[];
  readonly column: Column;
  /** Where the text of addresses ends. None: no addresses. */
  readonly axis?: number;
  /** Gaps that overlap these have no text: there is another in its place. */
  readonly taken?: readonly { readonly start: number; readonly end: number }[];
}

/** Guest memory from the lowest address down to the highest. */
export function guestColumn(props: GuestColumnProps): VNode {
  const { fold, mappings, blocks, column, axis, taken = [] } = props;
  const hues = new Map(blocks.map(({ name, hue }) => [name, hue]));
  const borders = new Set(mappings.flatMap(({ start, end }) => [start, end]));
  const middle = column.x + column.width / 2;
  return element("g", { class: "guest" }, [
    ...mappings.slice(1).flatMap(({ start }, index) => {
      const { end } = mappings[index]!;
      if (end === start || taken.some((range) => range.start < start && end < range.end)) return [];
      const y = (fold.place(end) + fold.place(start)) / 2 + 4;
      return [
        element("text", { key: `gap${end}`, x: middle, y, class: "quiet middle" }, sizeText(start - end)),
      ];
    }),
    ...(axis === undefined
      ? []
      : [...borders].map((address) =>
          element(
            "text",
            { key: address, x: axis, y: fold.place(address) + 4, class: "quiet end" },
            hexText(address),
          ),
        )),
    ...mappings.map((mapping) => box(mapping, hues.get(mapping.block), fold, column)),
  ]);
}

/** RAM blocks, each under its name; `axis` is where offsets stand. */
export function hostColumn(blocks: readonly BlockFold[], { x, width }: Column, axis?: number): VNode {
  return element("g", { class: "host" }, [
    ...blocks.flatMap(({ name, hue, at, fold }) => [
      element("text", { key: name, x, y: at + 13, class: "strong" }, blockName(name)),
      ...fold.pieces.map((piece) =>
        element("g", { key: `${name}${piece.start}` }, [
          element("rect", {
            x,
            y: piece.at,
            width,
            height: piece.length,
            class: piece.used ? `fill hue${hue}` : "hole",
          }),
          axis !== undefined &&
            element(
              "text",
              { x: axis, y: piece.at + 13, class: "quiet" },
              piece.used ? hexText(piece.start) : "",
            ),
        ]),
      ),
    ]),
  ]);
}

/** Ribbons from the edge of a guest column at `from` to the edge of the blocks at `to`. */
export function ribbons(
  mappings: readonly Mapping[],
  guest: Fold,
  blocks: readonly BlockFold[],
  from: number,
  to: number,
): VNode {
  const bend = from + (to - from) / 2;
  const named = new Map(blocks.map((block) => [block.name, block]));
  return element(
    "g",
    { class: "ribbons" },
    mappings.flatMap((mapping) => {
      const block = named.get(mapping.block);
      if (mapping.kind === "mmio" || block === undefined) return [];
      const [a, b] = [guest.place(mapping.start), guest.place(mapping.end)];
      const c = block.fold.place(mapping.off);
      const d = block.fold.place(mapping.off + bytesOf(mapping));
      const path = `M${from},${a}C${bend},${a},${bend},${c},${to},${c}V${d}C${bend},${d},${bend},${b},${from},${b}Z`;
      return [element("path", { key: `${mapping.start}-${mapping.off}`, d: path, class: `hue${block.hue}` })];
    }),
  );
}
