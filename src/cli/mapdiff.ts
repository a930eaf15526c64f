/**
 * What differs between two maps, page by page: not whether the slots are the same, but whether a guest finds the
 * same memory behind every address. A slot that was split into two with the same pages behind them is no
 * difference. Ranges are elementary first and joined after, so the answer does not depend on how the maps are
 * cut.
 */
import { asIdsOf, HOST, type Mapping, type MemoryMap } from "./memorymap.js";
import { elementaryRanges, type GpaRange } from "./windows.js";

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
  return asIdsOf([...a.mappings, ...b.mappings]).flatMap((asId) => diffSpace(asId, a, b));
}

function diffSpace(asId: number, a: MemoryMap, b: MemoryMap): MapChange[] {
  const [old, now] = [a, b].map(({ mappings }) => mappings.filter((mapping) => mapping.asId === asId));
  const borders = [...old!, ...now!].flatMap(({ start, end }) => [start, end]);
  const changes: MapChange[] = [];
  for (const range of elementaryRanges(asId, borders)) {
    const change = changeOf(range, behind(old!, range), behind(now!, range));
    const last = changes.at(-1);
    if (change === undefined) continue;
    if (last !== undefined && prolongs(last, change))
      changes[changes.length - 1] = { ...last, end: change.end };
    else changes.push(change);
  }
  return changes;
}

function behind(mappings: readonly Mapping[], { start, end }: GpaRange): Behind | undefined {
  const found = mappings.find((mapping) => mapping.start <= start && end <= mapping.end);
  if (found === undefined) return undefined;
  const { kind, block, off, flags } = found;
  return { kind, block, off: off + (start - found.start), flags };
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
