/** One of each kind of public symbol that nobody has written a word about. */

/** Documented, but public in no entry. */
interface Hidden {
  /** Documented, too. */
  readonly value: number;
}

export const VARIABLE = 1;

export type Alias = number;

export function callable(): void {}

export interface Shape {
  property: number;
  method(): Hidden;
}

export class Thing {
  property = 0;
  constructor(value: number) {
    this.property = value;
  }
  get accessor(): number {
    return this.property;
  }
  method(): void {}
}
