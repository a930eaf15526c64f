/**
 * A file of JSON lines, plain or gzipped (recognized by its magic, not by its name); "-" is standard input.
 * Whatever is wrong with it becomes an InputError that names file, line and reason: the reader of the message
 * has the file open in an editor, not this program.
 */
import { createReadStream } from "node:fs";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";

/** First byte of a gzip member. No JSON text starts with it, so one byte decides. */
const GZIP_MAGIC = 0x1f;

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

  text(name: string): string {
    const value = this.field(name);
    if (typeof value !== "string") this.fail(`field "${name}" must be a string, it is ${shown(value)}`);
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

/**
 * Yield every line. @throws InputError for a file that cannot be read and for a line that is no JSON object.
 */
export async function* readJsonLines(file: string): AsyncGenerator<JsonLine> {
  let line = 0;
  for await (const text of readLines(file)) {
    line++;
    yield parseJsonLine(file, line, text);
  }
}

/** Line number `line` of a file. @throws InputError if it is no JSON object */
export function parseJsonLine(file: string, line: number, text: string): JsonLine {
  if (text.trim() === "") throw new InputError(file, line, "the line is empty");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(file, line, `not JSON: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw new InputError(file, line, `not a JSON object: ${shown(value)}`);
  return new JsonLine(file, line, value);
}

/** Yield every line as text. @throws InputError for a file that cannot be read, unzipped or decoded. */
export async function* readLines(file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let lines = 0;
  let rest = "";
  try {
    for await (const chunk of unzipped(file === "-" ? process.stdin : createReadStream(file))) {
      const texts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = texts.pop() as string;
      for (const text of texts) {
        lines++;
        yield text;
      }
    }
    rest += decoder.decode();
  } catch (error) {
    throw asInputError(error, file, lines + 1);
  }
  if (rest !== "") yield rest;
}

async function* unzipped(source: Readable): AsyncGenerator<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = source[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done) return;
  const bytes = startingWith(first.value, chunks);
  if (first.value[0] !== GZIP_MAGIC) yield* bytes;
  // The callback is how pipeline() wants it; a failure reaches the loop that reads the last stream.
  else yield* pipeline(Readable.from(bytes), createGunzip(), () => {});
}

async function* startingWith(
  first: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield first;
  yield* { [Symbol.asyncIterator]: () => chunks };
}

/**
 * An error of the file system has no line; one of the decompressor or decoder is met at the line being read.
 */
function asInputError(error: unknown, file: string, line: number): unknown {
  if (!(error instanceof Error) || error instanceof InputError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (code.startsWith("Z_")) return new InputError(file, line, `damaged gzip data: ${error.message}`);
  if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return new InputError(file, line, "not UTF-8 text");
  if ((error as NodeJS.ErrnoException).syscall !== undefined) {
    return new InputError(file, undefined, `cannot be read: ${error.message}`);
  }
  return error;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as a message shows it, cut where it would drown the message. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
