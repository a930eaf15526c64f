/**
 * What differs between two maps, page by page: not whether the slots are the same, but whether a guest finds the
 * same memory behind every address. A slot that was split into two with the same pages behind them is no
 * difference. Ranges are elementary first and joined after, so the answer does not depend on how the maps are
 * cut.
 */

import { elementaryRanges, type GpaRange } from "../replay/gaps.js";
import { asIdsOf, HOST, type Mapping, type MemoryMap, spacesOf } from "./memorymap.js";

/** moved: other memory is behind it; flags: the same memory, other flags. */
export type ChangeKind = "added" | "removed" | "moved" | "flags";

/** What is behind the first byte of a range. */
export interface Behind {
  readonly kind: Mapping["kind"];
  readonly block: string;
  readonly off: number;
  readonly flags: number;
}

export interface MapChange extends GpaRange {
  readonly kind: ChangeKind;
  readonly before?: Behind;
  readonly after?: Behind;
}

/** Maps that cannot be compared: one names RAM blocks, the other has host addresses. */
export class IncomparableError extends Error {
  override readonly name = "IncomparableError";
}

/** @throws IncomparableError */
export function diffMaps(a: MemoryMap, b: MemoryMap): MapChange[] {
  const [hostA, hostB] = [a, b].map(({ mappings }) => mappings.some(({ block }) => block === HOST));
  if (hostA !== hostB && a.mappings.length > 0 && b.mappings.length > 0) {
    const [host, named] = hostA ? [a, b] : [b, a];
    throw new IncomparableError(`${host!.title} has host addresses, ${named!.title} has names of RAM blocks`);
  }
  const [old, now] = [new Map(spacesOf(a.mappings)), new Map(spacesOf(b.mappings))];
  return asIdsOf([...a.mappings, ...b.mappings]).flatMap((asId) =>
    diffSpace(asId, old.get(asId) ?? [], now.get(asId) ?? []),
  );
}

function diffSpace(asId: number, old: readonly Mapping[], now: readonly Mapping[]): MapChange[] {
  const borders = [...old, ...now].flatMap(({ start, end }) => [start, end]);
  const changes: MapChange[] = [];
  const [before, after] = [new Cursor(old), new Cursor(now)];
  for (const range of elementaryRanges(asId, borders)) {
    const change = changeOf(range, before.behind(range), after.behind(range));
    const last = changes.at(-1);
    if (change === undefined) continue;
    if (last !== undefined && prolongs(last, change))
      changes[changes.length - 1] = { ...last, end: change.end };
    else changes.push(change);
  }
  return changes;
}

/** Goes over mappings in order; asked for ascending ranges. */
class Cursor {
  readonly #mappings: readonly Mapping[];
  #at = 0;

  constructor(mappings: readonly Mapping[]) {
    this.#mappings = mappings;
  }

  behind({ start, end }: GpaRange): Behind | undefined {
    while (this.#at < this.#mappings.length && this.#mappings[this.#at]!.end <= start) this.#at++;
    const found = this.#mappings[this.#at];
    if (found === undefined || found.start > start || end > found.end) return undefined;
    const { kind, block, off, flags } = found;
    return { kind, block, off: off + (start - found.start), flags };
  }
}

function changeOf(range: GpaRange, before?: Behind, after?: Behind): MapChange | undefined {
  if (before === undefined) return after && { ...range, kind: "added", after };
  if (after === undefined) return { ...range, kind: "removed", before };
  const same = before.kind === after.kind && before.block === after.block && before.off === after.off;
  if (!same) return { ...range, kind: "moved", before, after };
  return before.flags === after.flags ? undefined : { ...range, kind: "flags", before, after };
}

/** Is `next` the rest of the same change? What is behind both ends of it goes on, and with that its kind. */
function prolongs(last: MapChange, next: MapChange): boolean {
  const bytes = next.start - last.start;
  const follows = (a?: Behind, b?: Behind) =>
    a === undefined || b === undefined
      ? a === b
      : a.kind === b.kind && a.block === b.block && a.off + bytes === b.off && a.flags === b.flags;
  return last.end === next.start && follows(last.before, next.before) && follows(last.after, next.after);
}
