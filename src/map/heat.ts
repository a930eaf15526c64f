/** Dirty heat: how much of each part of a slot its dirty log has. */

export interface Heat {
  readonly pages: number;
  readonly dirty: number;
  /** Share of dirty pages, 0..1, of each of as many parts as were asked for, or of each page if there are fewer. */
  readonly parts: readonly number[];
}

/** The heat of a dirty log, a bit per page from bit 0 of byte 0 on. */
export function heatOf(log: Uint8Array, pages: number, partsMax: number): Heat {
  const count = Math.max(1, Math.min(partsMax, pages));
  const sums = new Array<number>(count).fill(0);
  let dirty = 0;
  for (let page = 0; page < pages; page++) {
    if (((log[page >>> 3]! >>> (page & 7)) & 1) === 0) continue;
    dirty++;
    sums[Math.floor((page * count) / pages)]!++;
  }
  const pagesOf = (part: number) =>
    Math.ceil(((part + 1) * pages) / count) - Math.ceil((part * pages) / count);
  return { pages, dirty, parts: sums.map((sum, part) => sum / pagesOf(part)) };
}
