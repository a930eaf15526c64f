/**
 * MMIO windows: what lies beside the slots, to the byte. They are a part of a layout as slots are: one commit
 * publishes both, and a read section sees the windows of the layout that it has pinned.
 */
import { ERRNO, KvmError } from "./errno.js";
import {
  WINDOW,
  WINDOW_BYTES,
  WINDOW_HOST,
  WINDOW_READONLY,
  WINDOW_TABLE,
  WINDOW_TABLE_BYTES,
} from "./layout.js";
import type { MemoryViews } from "./memory.js";
import { putU64, show, toU32 } from "./region.js";

/** Registers of a device. Addresses and sizes in bytes, of any alignment. */
export interface DeviceWindow {
  /** First guest address. */
  readonly gpa: number;
  /** Size, above 0. */
  readonly bytes: number;
  /** Number of the device, below 2^32: all threads know devices by their numbers. */
  readonly device: number;
  /** Byte of the device's registers at `gpa`; 0 if not given. */
  readonly offset?: number;
}

/** Host memory that is too small or too crooked for a slot. Addresses and sizes in bytes, of any alignment. */
export interface HostWindow {
  /** First guest address. */
  readonly gpa: number;
  /** Size, above 0. */
  readonly bytes: number;
  /** Host address of the byte at `gpa`. */
  readonly hva: number;
  /** Writes are refused, as in a READONLY slot. */
  readonly readonly?: boolean;
}

/** What lies beside the slots, to the byte. */
export type MmioWindow = DeviceWindow | HostWindow;

/** A byte of host memory. */
export interface HostByte {
  /** Host address. */
  readonly hva: number;
}

/** A byte of a device's registers. */
export interface DeviceByte {
  /** Number of the device, as in its window. */
  readonly device: number;
  /** Byte of its registers, from 0 on. */
  readonly offset: number;
}

/** Where a byte is: host memory, or a device and the byte of its registers; undefined: nothing is there. */
export type Resolved = HostByte | DeviceByte | undefined;

/** The windows of one address space as words of struct Window, ascending. */
export interface EncodedWindows {
  readonly asId: number;
  readonly count: number;
  readonly words: Uint32Array;
}

const WINDOW_WORDS = WINDOW_BYTES / 4;

function address(value: unknown, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${name} must be an integer from 0 to 2^53 - 1, not ${show(value)}`);
  }
  return value;
}

interface Checked {
  index: number;
  gpa: number;
  end: number;
  target: number;
  device: number;
  flags: number;
}

function checkWindow(window: MmioWindow, index: number, name: string, limit: number): Checked {
  if (typeof window !== "object" || window === null) {
    throw new TypeError(`${name} must be an object, not ${show(window)}`);
  }
  const gpa = address(window.gpa, `${name}.gpa`);
  const end = gpa + address(window.bytes, `${name}.bytes`);
  if (end === gpa || end > limit) {
    throw new RangeError(`${name} must have bytes and end at or below ${limit}, not end at ${end}`);
  }
  if (!("hva" in window)) {
    const device = toU32(window.device, `${name}.device`);
    return { index, gpa, end, target: address(window.offset ?? 0, `${name}.offset`), device, flags: 0 };
  }
  if (window.readonly !== undefined && typeof window.readonly !== "boolean") {
    throw new TypeError(`${name}.readonly must be a boolean, not ${show(window.readonly)}`);
  }
  const flags = WINDOW_HOST | (window.readonly === true ? WINDOW_READONLY : 0);
  return { index, gpa, end, target: address(window.hva, `${name}.hva`), device: 0, flags };
}

function encode(windows: readonly MmioWindow[], asId: number, limit: number, op: string): EncodedWindows {
  const name = `windows[${asId}]`;
  if (!Array.isArray(windows)) throw new TypeError(`${name} must be an array, not ${show(windows)}`);
  const checked = windows.map((window, i) => checkWindow(window, i, `${name}[${i}]`, limit));
  checked.sort((a, b) => a.gpa - b.gpa);
  const words = new Uint32Array(checked.length * WINDOW_WORDS);
  checked.forEach((window, i) => {
    const before = checked[i - 1];
    if (before !== undefined && before.end > window.gpa) {
      const [low, high] = [before.index, window.index].sort((a, b) => a - b);
      throw new KvmError(-ERRNO.EEXIST, op, { reason: `${name}[${low}] and [${high}] meet` });
    }
    const at = i * WINDOW_WORDS;
    putU64(words, at + WINDOW.start / 4, window.gpa, name);
    putU64(words, at + WINDOW.end / 4, window.end, name);
    putU64(words, at + WINDOW.target / 4, window.target, name);
    words[at + WINDOW.device / 4] = window.device;
    words[at + WINDOW.flags / 4] = window.flags;
  });
  return { asId, count: checked.length, words };
}

/**
 * Windows by address space, an undefined one staying as it is.
 * @throws TypeError, RangeError naming the window and field; KvmError EEXIST for two that meet
 */
export function encodeWindows(
  windows: readonly (readonly MmioWindow[] | undefined)[],
  addressSpaces: number,
  limit: number,
  op: string,
): EncodedWindows[] {
  if (windows.length > addressSpaces) {
    throw new RangeError(`windows must be of ${addressSpaces} address spaces at most, not ${windows.length}`);
  }
  return Array.from({ length: windows.length }, (_, asId) => asId)
    .filter((asId) => windows[asId] !== undefined)
    .map((asId) => encode(windows[asId]!, asId, limit, op));
}

/** The windows of a table in the engine's memory; 0 is no table. */
export function readWindows(views: MemoryViews, table: number): MmioWindow[] {
  if (table === 0) return [];
  const head = (table + WINDOW_TABLE.count) / 4;
  const count = views.words(table + WINDOW_TABLE_BYTES)[head]!;
  const words = views.words(table + WINDOW_TABLE_BYTES + count * WINDOW_BYTES);
  return Array.from({ length: count }, (_, i) => {
    const at = (table + WINDOW_TABLE_BYTES + i * WINDOW_BYTES) / 4;
    const u64 = (field: number) => words[at + field / 4 + 1]! * 2 ** 32 + words[at + field / 4]!;
    const gpa = u64(WINDOW.start);
    const bytes = u64(WINDOW.end) - gpa;
    const target = u64(WINDOW.target);
    const flags = words[at + WINDOW.flags / 4]!;
    if ((flags & WINDOW_HOST) === 0)
      return { gpa, bytes, device: words[at + WINDOW.device / 4]!, offset: target };
    return { gpa, bytes, hva: target, readonly: (flags & WINDOW_READONLY) !== 0 };
  });
}
