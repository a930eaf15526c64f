/**
 * The rooms of src/: which files stand on which floor. A file imports from its own room and from rooms on lower floors,
 * types included; rooms on one floor do not know each other.
 */
import { importsOf } from "./imports.js";
import type { Finding, Project } from "./source.js";
import { findingAt } from "./syntax.js";

/** Lowest floor first. A room is a folder, or a file by itself. */
export const FLOORS: readonly (readonly string[])[] = [
  ["kvm/", "runtime/"],
  ["wasm/"],
  ["core/"],
  ["read/", "write/"],
  ["guest/", "dirty/", "trace/"],
  ["flatview/"],
  ["flatview/pc/", "flatview/text/"],
  ["flatview/index.ts"],
  ["engine.ts"],
  ["save/"],
  ["index.ts", "v86/"],
  ["replay/"],
  ["map/"],
  ["cli/"],
];

const ROOMS = FLOORS.flatMap((rooms, floor) => rooms.map((room) => ({ room: `src/${room}`, floor })));

/** The room of a file of src/: the longest name that it starts with. */
export function roomOf(path: string): { readonly room: string; readonly floor: number } | undefined {
  return ROOMS.filter(({ room }) => path.startsWith(room)).sort((a, b) => b.room.length - a.room.length)[0];
}

/** Every file has a room, and imports only downwards. */
export function rooms({ sources, files }: Project): Finding[] {
  return sources
    .filter(({ path }) => path.startsWith("src/") && path.endsWith(".ts"))
    .flatMap((source) => {
      const own = roomOf(source.path);
      if (own === undefined) return [{ path: source.path, line: 1, message: "stands in no room of FLOORS" }];
      return importsOf(source, files).flatMap(({ node, target }) => {
        if (!files.has(target)) return [];
        const other = roomOf(target);
        const allowed = other !== undefined && (other.room === own.room || other.floor < own.floor);
        return allowed ? [] : [findingAt(source, node, `must not import ${target}`)];
      });
    });
}

/** One line a room, top floor first: its files and lines, and the rooms that it imports from. */
export function roomGraph({ sources, files }: Project): string[] {
  const own = sources.filter(({ path }) => path.startsWith("src/") && path.endsWith(".ts"));
  return [...ROOMS].reverse().map(({ room }) => {
    const inside = own.filter(({ path }) => roomOf(path)?.room === room);
    const targets = inside.flatMap((source) =>
      importsOf(source, files).map(({ target }) => roomOf(target)?.room),
    );
    const others = [...new Set(targets)].filter((other) => other !== undefined && other !== room).sort();
    const lines = inside.reduce((sum, { text }) => sum + text.split("\n").length - 1, 0);
    const names = others.map((other) => other!.replace(/^src\//, ""));
    const head = room.replace(/^src\//, "").padEnd(18);
    return `${head} ${`${inside.length}`.padStart(3)} files ${`${lines}`.padStart(5)} lines  -> ${names.join(" ")}`;
  });
}
