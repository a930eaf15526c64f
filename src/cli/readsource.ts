/** A file, or standard input, as what it holds. */
import { readLines } from "./jsonl.js";
import type { MemoryMap } from "./memorymap.js";
import { mapOf, parseSource } from "./source.js";

/** @throws InputError if the file cannot be read, or is neither a trace nor a dump, or has no such map */
export async function readMap(file: string, at: number | undefined): Promise<MemoryMap> {
  const lines: string[] = [];
  for await (const line of readLines(file)) lines.push(line);
  return mapOf(file, parseSource(file, `${lines.join("\n")}\n`), at);
}
