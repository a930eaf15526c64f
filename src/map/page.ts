/**
 * A map as a page has room for it. Of an address space with many mappings the largest are drawn; those between two of
 * them are folded into a run.
 */
import { countText } from "../replay/format.js";
import { bytesOf, type Mapping, type MemoryMap, spacesOf } from "./memorymap.js";

/** Mappings of an address space that are drawn one by one. */
const WHOLE_MAX = 128;
/** How many are, where there are more. */
const LARGEST = 32;
/** Address spaces of a drawing. */
const SPACES_MAX = 8;

/** What is one box of a drawing: a mapping, or several. */
export interface Box extends Mapping {
  /** Of several mappings: what they are, and their bytes without the gaps between. */
  readonly run?: { readonly name: string; readonly bytes: number };
}

export interface PageSpace {
  readonly asId: number;
  readonly mappings: readonly Mapping[];
  readonly boxes: readonly Box[];
}

export interface Page {
  readonly spaces: readonly PageSpace[];
  /** What the drawing leaves out, in sentences. */
  readonly remarks: readonly string[];
}

export function pageOf({ mappings }: MemoryMap): Page {
  const all = spacesOf(mappings);
  const spaces = all
    .slice(0, SPACES_MAX)
    .map(([asId, own]) => ({ asId, mappings: own, boxes: boxesOf(own) }));
  const rest = all.length - spaces.length;
  const hasRuns = spaces.some(({ boxes }) => boxes.some(({ run }) => run !== undefined));
  return {
    spaces,
    remarks: [
      ...(hasRuns ? ["⋮ small mappings that lie together, folded; --json has each"] : []),
      ...(rest > 0 ? [`${countText(rest, "address space")} more; --json has each`] : []),
    ],
  };
}

function boxesOf(mappings: readonly Mapping[]): Box[] {
  if (mappings.length <= WHOLE_MAX) return [...mappings];
  const largest = new Set([...mappings].sort((a, b) => bytesOf(b) - bytesOf(a)).slice(0, LARGEST));
  const boxes: Box[] = [];
  let run: Mapping[] = [];
  const fold = () => {
    if (run.length > 1) boxes.push(runOf(run));
    else boxes.push(...run);
    run = [];
  };
  for (const mapping of mappings) {
    if (!largest.has(mapping)) run.push(mapping);
    else {
      fold();
      boxes.push(mapping);
    }
  }
  fold();
  return boxes;
}

function runOf(run: readonly Mapping[]): Box {
  const { asId, start } = run[0]!;
  const ram = run.filter(({ kind }) => kind === "ram");
  const noun = ram.every(({ slot }) => slot !== undefined) ? "slot" : "RAM range";
  const windows = run.length - ram.length;
  const name = [
    ...(ram.length > 0 ? [countText(ram.length, noun)] : []),
    ...(windows > 0 ? [countText(windows, "window")] : []),
  ].join(", ");
  const bytes = run.reduce((sum, mapping) => sum + bytesOf(mapping), 0);
  const end = run.at(-1)!.end;
  return {
    asId,
    start,
    end,
    kind: "mmio",
    block: `⋮ ${name}`,
    off: 0,
    flags: 0,
    run: { name: `⋮ ${name}`, bytes },
  };
}
