/** The tables of a layout, entry by entry: windows, private memory, and what slots are bound to. Read in a section. */
import {
  READER_PIN_OFFSET,
  ROOT_BYTES,
  ROOT_WINDOWS0_OFFSET,
  TABLE_BINDINGS,
  WINDOW_BYTES,
  WINDOW_DEVICE_OFFSET,
  WINDOW_END_OFFSET,
  WINDOW_FLAGS_OFFSET,
  WINDOW_START_OFFSET,
  WINDOW_TABLE_BYTES,
  WINDOW_TABLE_COUNT_OFFSET,
  WINDOW_TARGET_OFFSET,
} from "../core/layout.js";
import type { Thread } from "../core/thread.js";

/** An entry of a table: struct Window of the memory map. */
export interface TableEntry {
  readonly start: bigint;
  readonly end: bigint;
  readonly target: bigint;
  readonly device: number;
  readonly flags: number;
}

/** All entries of table number `index` in the layout that `reader` has pinned. */
export function tableEntries({ views }: Thread, reader: number, index: number): TableEntry[] {
  const word = (address: number) => views.words(address + 4)[address >>> 2]!;
  const u64 = (address: number) => (BigInt(word(address + 4)) << 32n) | BigInt(word(address));
  const root = word(reader + READER_PIN_OFFSET);
  const table = views.words(root + ROOT_BYTES)[((root + ROOT_WINDOWS0_OFFSET) >>> 2) + index]!;
  const count = table === 0 ? 0 : word(table + WINDOW_TABLE_COUNT_OFFSET);
  return Array.from({ length: count }, (_, i) => {
    const at = table + WINDOW_TABLE_BYTES + i * WINDOW_BYTES;
    return {
      start: u64(at + WINDOW_START_OFFSET),
      end: u64(at + WINDOW_END_OFFSET),
      target: u64(at + WINDOW_TARGET_OFFSET),
      device: word(at + WINDOW_DEVICE_OFFSET),
      flags: word(at + WINDOW_FLAGS_OFFSET),
    };
  });
}

/** The bindings of slots to files, by slot number. In a section. */
export function bindingsOf(thread: Thread, reader: number): Map<number, TableEntry> {
  return new Map(tableEntries(thread, reader, TABLE_BINDINGS).map((entry) => [Number(entry.start), entry]));
}
