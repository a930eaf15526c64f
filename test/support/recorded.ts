/** The recorded boots as layouts: the map after each commit, as a FlatView of block names. */
import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { FlatView, MemoryRegion } from "memslots/flatview";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../../src/kvm/uapi.js";

const FOLDER = new URL("../traces/qemu/", import.meta.url);

export interface RecordedUpdate {
  commit: number;
  slot: number;
  flags: number;
  gpa: number;
  size: number;
  block: string;
  off: number;
  cause?: string;
}

export interface RecordedBoot {
  name: string;
  blocks: Map<string, number>;
  commits: RecordedUpdate[][];
}

/** The boots that have KVM updates. */
export function recordedBoots(): RecordedBoot[] {
  return readdirSync(FOLDER)
    .map((name) => {
      const lines = gunzipSync(readFileSync(new URL(name, FOLDER)))
        .toString()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      const blocks = new Map(
        Object.entries(lines[0].blocks ?? {}).map(([block, size]) => [block, Number(size)]),
      );
      const commits: RecordedUpdate[][] = [];
      for (const line of lines.filter(({ slot }) => slot !== undefined)) {
        const update = { ...line, gpa: Number(line.gpa), size: Number(line.size), off: Number(line.off) };
        const last = commits.at(-1);
        if (last !== undefined && last[0]!.commit === line.commit) last.push(update);
        else commits.push([update]);
      }
      return { name: name.replace(/\.jsonl\.gz$/, ""), blocks, commits };
    })
    .filter(({ commits }) => commits.length > 0);
}

/** Host address of a block: far apart, so that no two continue each other. */
export function hostOf(boot: RecordedBoot, block: string): number {
  return ([...boot.blocks.keys()].indexOf(block) + 1) * 2 ** 40;
}

/** Slots as the recorded KVM had them. */
export class RecordedSlots {
  readonly slots = new Map<number, RecordedUpdate>();

  apply(updates: readonly RecordedUpdate[]): void {
    for (const update of updates) {
      if (update.size === 0) this.slots.delete(update.slot);
      else this.slots.set(update.slot, update);
    }
  }

  ascending(): RecordedUpdate[] {
    return [...this.slots.values()].sort((a, b) => a.gpa - b.gpa);
  }

  /** Each slot as a range of its block. */
  view(boot: RecordedBoot): FlatView {
    const regions = new Map<string, MemoryRegion>();
    const ranges = this.ascending().map(({ gpa, size, block, off, flags }) => {
      const readonly = (flags & KVM_MEM_READONLY) !== 0;
      const log = (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
      const key = `${block} ${flags}`;
      const make = readonly ? MemoryRegion.rom : MemoryRegion.ram;
      const region = regions.get(key) ?? make(block, boot.blocks.get(block)!, hostOf(boot, block));
      regions.set(key, region);
      return {
        start: BigInt(gpa),
        size: BigInt(size),
        region,
        offset: BigInt(off),
        readonly,
        romd: false,
        log,
      };
    });
    return FlatView.from(ranges);
  }
}
