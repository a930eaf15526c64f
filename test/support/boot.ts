/** Handmade boots as trace files, and their replay. */
import { MemslotEngine } from "memslots";
import { readTrace } from "../../src/cli/input.js";
import { type EngineClass, type Replay, replayTrace } from "../../src/replay/replay.js";
import { PAGE } from "./region.js";
import { jsonlFile } from "./tempfile.js";

const HEADER = { machine: "m", blocks: { ram: "0x100000", rom: "0x10000" } };

export async function replayFile(file: string, engineClass: EngineClass = MemslotEngine): Promise<Replay> {
  return replayTrace(await readTrace(file), engineClass);
}

/** A slot set to pages of guest and host; the block is "ram" if not given. 0 pages is a delete. */
export type Change = [
  slot: number,
  gpaPage: number,
  npages: number,
  hostPage: number,
  flags?: number,
  block?: string,
];

/** A trace file of a header and these lines. */
export function bootFile(lines: readonly object[]): string {
  return jsonlFile([HEADER, ...lines]);
}

/** Lines of a trace, one for each change. */
export function linesOf(commits: readonly (readonly Change[])[]): object[] {
  const live = new Map<number, number>();
  return commits.flatMap((changes, commit) =>
    changes.map(([slot, gpaPage, npages, hostPage, flags = 0, block = "ram"]) => {
      const old = live.get(slot);
      const kind =
        npages === 0 ? "delete" : old === undefined ? "create" : old === gpaPage ? "flags" : "move";
      if (npages === 0) live.delete(slot);
      else live.set(slot, gpaPage);
      const [gpa, size, off] = [gpaPage, npages, hostPage].map((pages) => `0x${(pages * PAGE).toString(16)}`);
      return { t: commit, commit, slot, kind, flags, gpa, size, block, off, ret: 0 };
    }),
  );
}
