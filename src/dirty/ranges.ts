/**
 * Dirty ranges: the words of a harvest as ranges of host memory, and what guest memory each is now. Both come from one
 * layout, because the caller holds the writer lock.
 */
import { damaged } from "../core/damage.js";
import { HEADER_STAGING_OFFSET } from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { KvmError } from "../kvm/errno.js";
import { type GuestRange, type HostMapping, hostMappings } from "../read/hostranges.js";

/** Dirty host memory, in whole pages. In bytes. */
export interface DirtyRange {
  /** Host address of the first byte. */
  readonly hva: number;
  /** Size. */
  readonly bytes: number;
  /** Guest memory that these bytes are now, by address space and host address; empty if nothing maps them any more. */
  readonly guest: readonly GuestRange[];
}

interface HostRun {
  hva: number;
  bytes: number;
}

/** Bytes of a word that nextDirty returns: host address as f64, 64 bits. */
const WORD_BYTES = 16;
const WORD_PAGES = 64;

/** The ranges of host bytes [start, end) that are dirty in one of `views`. Under the lock. @throws KvmError EBADF */
export function dirtyRanges(
  thread: Thread,
  consumer: number,
  views: number,
  start: number,
  end: number,
): DirtyRange[] {
  const runs = dirtyRuns(thread, consumer, views, start, end);
  const last = runs.at(-1);
  if (last === undefined) return [];
  const mappings = hostMappings(thread, runs[0]!.hva, last.hva + last.bytes);
  let next = 0;
  let open: HostMapping[] = [];
  return runs.map(({ hva, bytes }) => {
    const to = hva + bytes;
    if (open.some((mapping) => mapping.hva + mapping.bytes <= hva)) {
      open = open.filter((mapping) => mapping.hva + mapping.bytes > hva);
    }
    for (; next < mappings.length && mappings[next]!.hva < to; next++) {
      const mapping = mappings[next]!;
      if (mapping.hva + mapping.bytes > hva) open.push(mapping);
    }
    const guest = open.map((mapping) => cut(mapping, hva, to));
    // Mappings come by host address.
    if (guest.length > 1) guest.sort((a, b) => (a.slot >>> 16) - (b.slot >>> 16));
    return { hva, bytes, guest };
  });
}

/** The part of a mapping that host bytes [from, to), which meet it, back. */
function cut({ slot, hva, gpa, bytes }: HostMapping, from: number, to: number): GuestRange {
  const first = Math.max(from, hva);
  return { slot, gpa: gpa + (first - hva), bytes: Math.min(to, hva + bytes) - first };
}

/** The same without their guest memory; none touches the next one. */
function dirtyRuns(thread: Thread, consumer: number, views: number, start: number, end: number): HostRun[] {
  const { wasm, base, views: memory } = thread;
  const pageBytes = 2 ** thread.pageShift;
  const runs: HostRun[] = [];
  let last: HostRun = { hva: Number.NaN, bytes: 0 };
  const add = (hva: number, bytes: number) => {
    if (last.hva + last.bytes === hva) last.bytes += bytes;
    else runs.push((last = { hva, bytes }));
  };
  const staging = thread.header(HEADER_STAGING_OFFSET);
  for (let from = start; ; ) {
    const count = wasm.nextDirty(base, consumer, views, from, end);
    if (count < 0) throw new KvmError(count, "DirtyConsumer", { reason: "the consumer is closed" });
    if (count === 0) return runs;
    const at = staging + count * WORD_BYTES;
    const doubles = memory.doubles(at);
    const words = memory.words(at);
    for (let i = 0; i < count; i++) {
      const word = staging + i * WORD_BYTES;
      const hva = doubles[word >>> 3]!;
      if (!(hva + WORD_PAGES * pageBytes > from))
        throw damaged("DirtyConsumer", "a walk of pages that goes back");
      addBits(words[(word >>> 2) + 2]!, hva, pageBytes, add);
      addBits(words[(word >>> 2) + 3]!, hva + 32 * pageBytes, pageBytes, add);
      from = hva + WORD_PAGES * pageBytes;
    }
  }
}

/** Runs of set bits; bit 0 is the page at `hva`. */
function addBits(
  bits: number,
  hva: number,
  pageBytes: number,
  add: (hva: number, bytes: number) => void,
): void {
  for (let rest = bits, at = 0; rest !== 0; ) {
    const skip = 31 - Math.clz32(rest & -rest);
    rest >>>= skip;
    at += skip;
    const inverse = ~rest;
    const run = inverse === 0 ? 32 : 31 - Math.clz32(inverse & -inverse);
    add(hva + at * pageBytes, run * pageBytes);
    rest = run === 32 ? 0 : rest >>> run;
    at += run;
  }
}
