/**
 * Files and standard input as lines, traces and maps. A file may be gzipped, which its first byte says, not its name;
 * "-" is standard input.
 */
import { createReadStream } from "node:fs";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { isDeviceTree } from "../flatview/index.js";
import type { MemoryMap } from "../map/memorymap.js";
import { listOf, mapOf, parseSource, type Source, traceOf } from "../map/source.js";
import { InputError, type JsonLine, parseJsonLine } from "../trace/jsonl.js";
import { type Trace, TraceParser } from "../trace/trace.js";

/** First byte of a gzip member. No JSON text starts with it, so one byte decides. */
const GZIP_MAGIC = 0x1f;
/** Bytes and lines of a file that is read whole, unzipped: what a program can hold as objects. */
const BYTES_MAX = 2 ** 26;
const LINES_MAX = 2 ** 21;

/** @throws InputError if the file cannot be read, or is nothing that is known, or has no such map */
export async function readMap(file: string, at: number | undefined): Promise<MemoryMap> {
  return mapOf(file, await readSource(file), at);
}

/** What of a file `--at` can name. @throws InputError as readMap */
export async function readList(file: string): Promise<ReturnType<typeof listOf>> {
  return listOf(await readSource(file));
}

/** A trace line by line, or that of a machine of a log. @throws InputError with the line that is wrong */
export async function readTraceOrLog(file: string, at: number | undefined): Promise<Trace> {
  return traceOf(file, await readSource(file), at);
}

async function readSource(file: string): Promise<Source> {
  const bytes = await readBytes(file);
  if (isDeviceTree(bytes)) return parseSource(file, bytes);
  return parseSource(file, textOf(file, bytes));
}

async function readBytes(file: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let lines = 1;
  try {
    for await (const chunk of unzipped(file === "-" ? process.stdin : createReadStream(file))) {
      chunks.push(chunk);
      length += chunk.length;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
      if (length > BYTES_MAX) throw new InputError(file, undefined, "it has more than 64 MiB");
      if (lines > LINES_MAX) throw new InputError(file, undefined, `it has more than ${LINES_MAX} lines`);
    }
  } catch (error) {
    throw asInputError(error, file, lines);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length);
}

/** @throws InputError with the line that is not UTF-8 */
function textOf(file: string, bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return decoder.decode(bytes);
  } catch {
    let line = 1;
    for (let start = 0; start < bytes.length; line++) {
      const found = bytes.indexOf(10, start);
      const end = found < 0 ? bytes.length : found + 1;
      try {
        decoder.decode(bytes.subarray(start, end));
      } catch {
        break;
      }
      start = end;
    }
    throw new InputError(file, line, "not UTF-8 text");
  }
}

/** @throws InputError with the line that is wrong */
export async function readTrace(file: string): Promise<Trace> {
  const parser = new TraceParser(file);
  for await (const line of readJsonLines(file)) parser.take(line);
  return parser.trace();
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

/** Yield every line as text. @throws InputError for a file that cannot be read, unzipped or decoded. */
export async function* readLines(file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let lines = 0;
  let rest = "";
  try {
    for await (const chunk of unzipped(file === "-" ? process.stdin : createReadStream(file))) {
      const text = decoder.decode(chunk, { stream: true });
      const [first, ...more] = text.split("\n") as [string, ...string[]];
      // A long line grows without a look at what it has so far.
      rest += first;
      for (const next of more) {
        lines++;
        yield rest;
        rest = next;
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
