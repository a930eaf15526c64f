/**
 * Addresses folded onto a line that a person can read: between two neighbouring borders the scale is linear,
 * and the length of such a piece is what `lengthOf` makes of its bytes, so that a window of 8 bytes and a
 * gigabyte both have a place. The order of addresses is kept, distances are not.
 */

/** Addresses [start, end), and their place on the line. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  /** False: nothing is there, it is the gap between two pieces. */
  readonly used: boolean;
  readonly at: number;
  readonly length: number;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

export class Fold {
  readonly pieces: readonly Piece[];
  /** Where the line ends. */
  readonly end: number;

  /** The line starts at `at`. */
  constructor(ranges: readonly Range[], lengthOf: (bytes: number, used: boolean) => number, at = 0) {
    const borders = [...new Set(ranges.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
    /** How many ranges begin at an address, less those that end there. */
    const steps = new Map<number, number>();
    for (const { start, end } of ranges) {
      steps.set(start, (steps.get(start) ?? 0) + 1);
      steps.set(end, (steps.get(end) ?? 0) - 1);
    }
    let open = 0;
    let place = at;
    this.pieces = borders.slice(1).map((end, index) => {
      const start = borders[index]!;
      open += steps.get(start)!;
      const used = open > 0;
      const length = lengthOf(end - start, used);
      place += length;
      return { start, end, used, at: place - length, length };
    });
    this.end = place;
  }

  /** Place of an address; one outside of all pieces is at the nearer end. */
  place(address: number): number {
    const piece = this.pieces[this.indexOf(address)];
    if (piece === undefined) return this.end;
    const part = Math.max(0, address - piece.start) / (piece.end - piece.start);
    return piece.at + part * piece.length;
  }

  /** Index of the first piece that ends behind an address; the number of pieces if none does. */
  indexOf(address: number): number {
    let [low, high] = [0, this.pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (address < this.pieces[middle]!.end) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
