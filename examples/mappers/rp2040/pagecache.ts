/**
 * A direct-mapped cache of translated pages. `distances` is what must be added to an address in the page, modulo
 * 2^32. It knows what guest memory cannot: every address has 32 bits, all memory is in one buffer that never moves, and
 * the bus itself makes every change of the map in its sections (docs/integration.md has what that is worth).
 */

const PLACES = 256;
/** No page: they have 20 bits. */
const NONE = -1;

/** Memories begin at multiples of 256 MiB, and their first pages are used most: they must not share a place. */
export function placeOf(page: number): number {
  return (page ^ (page >>> 12)) & (PLACES - 1);
}

export class PageCache<T> {
  readonly pages = new Int32Array(PLACES).fill(NONE);
  readonly distances = new Int32Array(PLACES);
  readonly targets: T[] = [];

  put(page: number, distance: number, target: T): void {
    const place = placeOf(page);
    this.pages[place] = page;
    this.distances[place] = distance;
    this.targets[place] = target;
  }

  flush(): void {
    this.pages.fill(NONE);
  }
}
