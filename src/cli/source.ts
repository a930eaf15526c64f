/**
 * What a file holds, found out by looking at it: a trace of many layouts, or a dump of one. Pure, so that a page
 * reads what is dropped on it as the command line reads a file.
 */
import { parseDump } from "./dump.js";
import { InputError } from "./jsonl.js";
import { isKvmLog, parseKvmLog } from "./kvmlog.js";
import { commitAt, mapAfter } from "./layouts.js";
import type { MemoryMap } from "./memorymap.js";
import { parseMtreeDump } from "./mtreedump.js";
import { parseTrace, type Trace } from "./trace.js";

export type Source =
  | { readonly kind: "trace"; readonly trace: Trace }
  | { readonly kind: "dump"; readonly map: MemoryMap };

/** @throws InputError with the line or entry that is wrong */
export function parseSource(file: string, text: string): Source {
  const start = text.trimStart();
  if (start.startsWith("[")) return { kind: "dump", map: parseDump(file, text) };
  if (start.startsWith("FlatView #")) return { kind: "dump", map: parseMtreeDump(file, text) };
  if (isKvmLog(text)) return { kind: "dump", map: parseKvmLog(file, text) };
  if (!start.startsWith("{")) throw new InputError(file, 1, "neither a trace nor a dump");
  // The first line of a trace is an object by itself; a dump is one object, however many lines it has.
  if (/^\{[^\n]*"machine"\s*:/.test(start)) return { kind: "trace", trace: parseTrace(file, text) };
  return { kind: "dump", map: parseDump(file, text) };
}

/**
 * The one map that is meant: a dump's, or that of a trace after commit `at`, or after its last.
 * @throws InputError if `at` is beyond the last commit, or given for a dump, or the trace has no commit
 */
export function mapOf(file: string, source: Source, at: number | undefined): MemoryMap {
  if (source.kind === "dump") {
    if (at !== undefined) throw new InputError(file, undefined, `a dump has no commit ${at}, a trace has`);
    return source.map;
  }
  const { commits } = source.trace;
  const last = commits.at(-1);
  if (last === undefined) throw new InputError(file, undefined, "the trace has no KVM updates, hence no map");
  if (at !== undefined && at > last.id) {
    throw new InputError(file, undefined, `there is no commit ${at}, the last is ${last.id}`);
  }
  return mapAfter(source.trace, at === undefined ? commits.length - 1 : commitAt(source.trace, at));
}
