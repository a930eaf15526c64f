/**
 * Operands that are numbers: sums of numbers and symbols, and %hi and %lo of them.
 */

export type Symbols = ReadonlyMap<string, number>;

/** `nearest` answers local labels: `1b` the last label `1:` so far, `1f` the next. */
export interface Scope {
  readonly symbols: Symbols;
  nearest(label: string, forward: boolean): number | undefined;
}

const TERM = /\s*([+-]?)\s*(0x[0-9a-f]+|\d+[bf](?![\w.])|\d+|[a-z_.][\w.]*)\s*/iy;

function termValue(term: string, { symbols, nearest }: Scope): number {
  const local = /^(\d+)([bf])$/.exec(term);
  const value =
    local !== null
      ? nearest(local[1]!, local[2] === "f")
      : /^\d/.test(term)
        ? Number(term)
        : symbols.get(term);
  if (value === undefined) throw new Error(`unknown symbol "${term}"`);
  return value;
}

/** @throws Error with what is wrong */
export function evaluate(text: string, scope: Scope): number {
  const part = /^%(hi|lo)\((.*)\)$/.exec(text.trim());
  if (part !== null) {
    const value = evaluate(part[2]!, scope);
    // %lo is signed: %hi makes up for a negative one.
    return part[1] === "hi" ? ((value + 0x800) >>> 12) & 0xf_ffff : (value << 20) >> 20;
  }
  TERM.lastIndex = 0;
  let sum = 0;
  for (let at = 0; at < text.length; at = TERM.lastIndex) {
    const match = TERM.exec(text);
    if (match === null || (at > 0 && match[1] === "")) throw new Error(`"${text}" is no expression`);
    sum += (match[1] === "-" ? -1 : 1) * termValue(match[2]!, scope);
  }
  if (text.trim() === "") throw new Error("an operand is missing");
  return sum;
}
