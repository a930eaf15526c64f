/**
 * Lines of JSON. A wrong line becomes an InputError that names file, line and reason: whoever reads the message has the
 * file open in an editor, not this program.
 */

import { parseJsonText } from "./jsontext.js";

/** Characters of a name or a heading. */
const TEXT_MAX = 65_536;

/**
 * The input is wrong. `line` counts from 1; it is absent where the file as a whole is (it cannot be opened).
 */
export class InputError extends Error {
  override readonly name = "InputError";
  readonly file: string;
  readonly line: number | undefined;
  readonly reason: string;

  constructor(file: string, line: number | undefined, reason: string) {
    super(line === undefined ? `${file}: ${reason}` : `${file}:${line}: ${reason}`);
    this.file = file;
    this.line = line;
    this.reason = reason;
  }
}

/**
 * One line: a JSON object whose fields are taken out by type. A field that is not of its type is an
 * InputError.
 */
export class JsonLine {
  readonly file: string;
  readonly line: number;
  readonly value: Readonly<Record<string, unknown>>;

  constructor(file: string, line: number, value: Readonly<Record<string, unknown>>) {
    this.file = file;
    this.line = line;
    this.value = value;
  }

  fail(reason: string): never {
    throw new InputError(this.file, this.line, reason);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.value, name);
  }

  field(name: string): unknown {
    if (!this.has(name)) this.fail(`field "${name}" is missing`);
    return this.value[name];
  }

  /** A string of at most `max` characters. */
  text(name: string, max = TEXT_MAX): string {
    const value = this.field(name);
    if (typeof value !== "string") this.fail(`field "${name}" must be a string, it is ${shown(value)}`);
    if (value.length > max) this.fail(`field "${name}" has ${value.length} characters, more than ${max}`);
    return value;
  }

  /** An integer in [min, max]. */
  integer(name: string, min: number, max: number): number {
    const value = this.field(name);
    if (typeof value !== "number" || !Number.isInteger(value)) {
      this.fail(`field "${name}" must be an integer, it is ${shown(value)}`);
    }
    if (value < min || value > max) this.fail(`field "${name}" must be ${min}..${max}, it is ${value}`);
    return value;
  }

  number(name: string): number {
    const value = this.field(name);
    if (typeof value !== "number") this.fail(`field "${name}" must be a number, it is ${shown(value)}`);
    return value;
  }

  /** A u64 written as "0x...". */
  hex(name: string): bigint {
    return this.hexOf(this.field(name), `field "${name}"`);
  }

  hexOf(value: unknown, what: string): bigint {
    if (typeof value !== "string" || !/^0x[0-9a-f]{1,16}$/i.test(value)) {
      this.fail(`${what} must be a hex string "0x..." of at most 64 bits, it is ${shown(value)}`);
    }
    return BigInt(value);
  }

  list(name: string): readonly unknown[] {
    const value = this.field(name);
    if (!Array.isArray(value)) this.fail(`field "${name}" must be a list, it is ${shown(value)}`);
    return value;
  }

  /** The object inside this line, as a line of its own: its fields are refused under the same line number. */
  inner(value: unknown, what: string): JsonLine {
    if (!isObject(value)) this.fail(`${what} must be an object, it is ${shown(value)}`);
    return new JsonLine(this.file, this.line, value);
  }
}

/** Line number `line` of a file. @throws InputError if it is no JSON object */
export function parseJsonLine(file: string, line: number, text: string): JsonLine {
  if (text.trim() === "") throw new InputError(file, line, "the line is empty");
  let value: unknown;
  try {
    value = parseJsonText(text);
  } catch (error) {
    throw new InputError(file, line, `not JSON: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw new InputError(file, line, `not a JSON object: ${shown(value)}`);
  return new JsonLine(file, line, value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as a message shows it, cut where it would drown the message. */
function shown(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    // Nested deeper than the stack.
    text = "a value nested too deep to be shown";
  }
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
