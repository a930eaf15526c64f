/** A text that is not what it should be. */
export class ParseError extends Error {
  /** "ParseError". */
  override readonly name = "ParseError";
  /** Counted from 1. */
  readonly line: number;
  /** What is wrong with the line. */
  readonly reason: string;

  /** An error in `line`, counted from 1. */
  constructor(line: number, reason: string) {
    super(`line ${line}: ${reason}`);
    this.line = line;
    this.reason = reason;
  }
}

/** The lines of a text, with or without carriage returns. @throws TypeError */
export function linesOf(text: string): string[] {
  if (typeof text !== "string") throw new TypeError("text must be a string");
  return text.split(/\r?\n/);
}
