/**
 * What a file holds, found out by looking at it: a trace of many layouts, or one map, or several. Pure, so that a page
 * reads what is dropped on it as the command line reads a file.
 */

import { isDeviceTree, isIomem, isKvmTrace, isMtree, isPhysical, isStrace } from "../flatview/index.js";
import { countText } from "../replay/format.js";
import { InputError } from "../trace/jsonl.js";
import { parseTrace, type Trace } from "../trace/trace.js";
import { parseDump } from "./dump.js";
import { type LogKind, logMachines, machineMap, machineTrace } from "./kvmlog.js";
import { commitAt, mapAfter } from "./layouts.js";
import type { MemoryMap } from "./memorymap.js";
import { mtreeDumps, parseMtreeDump } from "./mtreedump.js";
import { deviceTreeMap, firmwareMap, firmwareMaps, iomemMap } from "./physical.js";

/** One of several maps of a file. */
export interface SourceEntry {
  /** Its first line, counted from 1. */
  readonly line: number | undefined;
  /** What it is. */
  readonly name: string;
  /** @throws InputError */
  map(): MemoryMap;
  /** The updates that lead there, of a log. @throws InputError */
  trace?(): Trace;
}

export type Source =
  | { readonly kind: "trace"; readonly trace: Trace }
  /** `noun` is what each of `entries` is called: there is one at least. */
  | { readonly kind: "maps"; readonly noun: string; readonly entries: readonly SourceEntry[] };

/** @throws InputError with the line or entry that is wrong */
export function parseSource(file: string, content: string | Uint8Array): Source {
  if (typeof content !== "string") {
    if (!isDeviceTree(content)) throw new InputError(file, undefined, "neither text nor a devicetree");
    return single(() => deviceTreeMap(file, content));
  }
  const start = content.trimStart();
  const isReply = start.startsWith("{") && /"return"\s*:\s*"/.test(content);
  if (/^\[\s*(?:[[{\]"]|$)/.test(start)) return single(() => parseDump(file, content));
  // The first line of a trace is an object by itself; a dump is one object, however many lines it has.
  if (/^\{[^\n]*"machine"\s*:/.test(start)) return { kind: "trace", trace: parseTrace(file, content) };
  if (start.startsWith("{") && !isReply) return single(() => parseDump(file, content));
  if (isMtree(content)) return mtree(file, content);
  if (isStrace(content)) return log(file, content, "strace");
  if (isKvmTrace(content)) return log(file, content, "kvm");
  if (isPhysical(content)) return firmware(file, content);
  if (isIomem(content)) return single(() => iomemMap(file, content));
  if (start.startsWith("[")) return single(() => parseDump(file, content));
  throw new InputError(file, 1, "neither a trace nor a dump");
}

function single(map: () => MemoryMap): Source {
  return { kind: "maps", noun: "map", entries: [{ line: undefined, name: "the only map", map }] };
}

function mtree(file: string, text: string): Source {
  const entries = mtreeDumps(file, text).map(({ line, kind, spaces }, i): SourceEntry => {
    const shown = spaces.length === 0 ? "" : `, ${countText(spaces.length, "address space")}`;
    const name = `${kind === "flat" ? "info mtree -f" : "info mtree"}${shown}`;
    return { line, name, map: () => parseMtreeDump(file, text, i + 1) };
  });
  return { kind: "maps", noun: "dump", entries };
}

function log(file: string, text: string, kind: LogKind): Source {
  const entries = logMachines(file, text, kind).map((machine): SourceEntry => {
    const updates = countText(machine.updates.length, "update");
    return {
      line: machine.line,
      name: machine.name === "" ? updates : `${machine.name}, ${updates}`,
      map: () => machineMap(file, machine, kind),
      trace: () => machineTrace(file, machine),
    };
  });
  return { kind: "maps", noun: "machine", entries };
}

function firmware(file: string, text: string): Source {
  const entries = firmwareMaps(file, text).map(
    ({ line, kind, ranges }, i): SourceEntry => ({
      line,
      name: `${kind}, ${countText(ranges.length, "range")}`,
      map: () => firmwareMap(file, text, i),
    }),
  );
  return { kind: "maps", noun: "map", entries };
}

/**
 * The one map that is meant: that of a trace after commit `at`, or after its last; or the `at`-th of several, counted
 * from 1.
 * @throws InputError if there is none such, or several and none is named
 */
export function mapOf(file: string, source: Source, at: number | undefined): MemoryMap {
  if (source.kind === "maps") return entryAt(file, source, at).map();
  const { commits } = source.trace;
  const last = commits.at(-1);
  if (last === undefined) throw new InputError(file, undefined, "the trace has no KVM updates, hence no map");
  if (at !== undefined && at > last.id) {
    throw new InputError(file, undefined, `there is no commit ${at}, the last is ${last.id}`);
  }
  return mapAfter(source.trace, at === undefined ? commits.length - 1 : commitAt(source.trace, at));
}

/** The trace of a file: its own, or that of a machine of a log. @throws InputError as mapOf */
export function traceOf(file: string, source: Source, at: number | undefined): Trace {
  if (source.kind === "trace") {
    if (at === undefined) return source.trace;
    throw new InputError(file, undefined, "a trace has one machine, --at chooses one of a log");
  }
  const entry = entryAt(file, source, at);
  if (entry.trace === undefined)
    throw new InputError(file, undefined, "a dump has one layout, replay takes a trace or log");
  return entry.trace();
}

function entryAt(
  file: string,
  { noun, entries }: Source & { kind: "maps" },
  at: number | undefined,
): SourceEntry {
  const second = entries[1];
  if (at !== undefined && noun === "map" && second === undefined) {
    throw new InputError(file, undefined, `a dump has no commit ${at}, a trace has`);
  }
  if (at === undefined && second !== undefined) {
    const choice = `name one by --at 1 to --at ${entries.length}, --list tells them`;
    throw new InputError(
      file,
      second.line,
      `another ${noun} begins, of ${entries.length} in the file: ${choice}`,
    );
  }
  const entry = entries[(at ?? 1) - 1];
  if (entry !== undefined) return entry;
  throw new InputError(file, undefined, `there is no ${noun} ${at}, the file has ${entries.length}`);
}

/** What of a file can be named by --at, a line each. */
export function listOf(
  source: Source,
): { readonly at: number; readonly line?: number; readonly name: string }[] {
  if (source.kind === "trace") {
    return source.trace.commits.map(({ id, phase, updates }) => ({
      at: id,
      line: updates[0]!.line,
      name: `commit, ${countText(updates.length, "update")}, ${phase}`,
    }));
  }
  return source.entries.map(({ line, name }, i) => ({
    at: i + 1,
    ...(line !== undefined && { line }),
    name,
  }));
}
