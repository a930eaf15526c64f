/** Where results go that a user may name a file for. */
import { writeFileSync } from "node:fs";
import type { MemoryMap } from "../map/memorymap.js";
import type { listOf } from "../map/source.js";
import { countText, table } from "../replay/format.js";
import { InputError } from "../trace/jsonl.js";
import { printable } from "../trace/printable.js";
import { type Colours, coloured, hasColours } from "./colour.js";

/**
 * Text for people: whatever a file has put into it, a terminal gets no control character but the end of a line, and
 * those of `colours`.
 */
export function printText(text: string, colours: Colours = []): void {
  write(process.stdout, text, colours);
}

/** The same on standard error. */
export function printError(text: string, colours: Colours = []): void {
  write(process.stderr, text, colours);
}

function write(stream: NodeJS.WriteStream, text: string, colours: Colours): void {
  const safe = escaped(text);
  stream.write(hasColours(stream, process.env) ? coloured(safe, colours) : safe);
}

/** One line of JSON, with the same characters as escapes of JSON. */
export function printJson(value: object): void {
  process.stdout.write(`${escaped(JSON.stringify(value))}\n`);
}

/** Characters of a line on standard error, and of notes. */
const COMPLAINT_MAX = 4096;
const NOTES_MAX = 20;

const COMPLAINT_COLOURS: Colours = [
  [/^memslots: note:/, "yellow"],
  [/^memslots:(?! note:)/, "red"],
];

/** A line on standard error. */
export function complain(message: string): void {
  const text = message.length <= COMPLAINT_MAX ? message : `${message.slice(0, COMPLAINT_MAX)}…`;
  printError(`memslots: ${printable(text)}\n`, COMPLAINT_COLOURS);
}

/** What a map's file leaves open, on standard error. */
export function printNotes(file: string, { notes = [] }: MemoryMap): void {
  for (const { line, text } of notes.slice(0, NOTES_MAX)) {
    complain(`note: ${file}${line === undefined ? "" : `:${line}`}: ${text}`);
  }
  const rest = notes.length - NOTES_MAX;
  if (rest > 0) complain(`note: ${file}: ${countText(rest, "note")} more, "show --json" has all`);
}

/** What of a file can be named. */
export function printList(entries: ReturnType<typeof listOf>, json: boolean): void {
  if (json) printJson(entries);
  else {
    const rows = entries.map(({ at, line, name }) => [
      String(at),
      line === undefined ? "" : `line ${line}`,
      printable(name),
    ]);
    printText(`${table([["--at", "", ""], ...rows], 1).join("\n")}\n`);
  }
}

function escaped(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** Write a file, or standard output for "-". @throws InputError if the file cannot be written */
export function writeOut(file: string, content: string | Uint8Array): void {
  if (file === "-") {
    process.stdout.write(typeof content === "string" ? escaped(content) : content);
    return;
  }
  try {
    writeFileSync(file, content);
  } catch (error) {
    throw new InputError(file, undefined, `cannot be written: ${(error as Error).message}`);
  }
}
