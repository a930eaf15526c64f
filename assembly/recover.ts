/**
 * After a writer's death: everything but the published root is derived from it anew.
 *
 * The dead writer has changed private copies and the notebook only, or has published, which is one store; so
 * the published layout is whole. What it does not reach is free, as soon as no reader is left in an older
 * layout. Nothing here reads the notebook, so that a second death inside the rebuild only means doing it
 * again. What the root leads to is checked before anything is written there: it may be damaged, and then this traps.
 */
import { announceWait, clearOrphan, observeOwner, observePin, wakeObservers } from "./atomic";
import { carryRecord } from "./carry";
import { freeChunk } from "./chunks";
import { chunkAt, chunkCountOf } from "./directory";
import { markBitmap } from "./dirtybitmap";
import { recoverRings } from "./dirtyring";
import { nextGfn } from "./gfnindex";
import { sweepHeap } from "./heap";
import { foldMarks, recoverHostLog } from "./hostlog";
import { setRecord, slotKey } from "./idtable";
import {
  CHUNK_BYTES,
  CHUNK_HEADER_BYTES,
  Chunk,
  ENTRY_BYTES,
  Entry,
  Header,
  READER_BYTES,
  RECORD_BYTES,
  Record,
  ROOT_BYTES,
  ROOTS,
  STAGING_ENTRIES_MIN,
} from "./layout";
import { awaitPin, SLEEP_MS } from "./publish";
import { publishedRoot, readerLines, sameThread } from "./readers";
import { freeRecord } from "./records";
import { isChunk, isRecord } from "./retired";
import { directoryOf, gfnIndexOf, hvaIndexOf, rootAt } from "./roots";
import { setStaging } from "./staging";
import { recoverTlbs } from "./tlb";
import { recoverWindows, windowsOf } from "./windows";

/**
 * The holder of the lock found it orphaned: rebuild, once the readers of older layouts are gone. False if one
 * of another thread than `owner`'s stays for `ms` milliseconds, or one of that thread itself is there; then
 * nothing has changed.
 */
export function recover(header: usize, owner: u32, ms: i32): bool {
  const root = publishedRoot(header);
  const lines = readerLines(header);
  let left = ms;
  let reader: usize = changetype<Header>(header).readers;
  for (let i: u32 = 0; i < lines; i++) {
    let pin = observePin(reader);
    while (pin != 0 && pin != root) {
      if (sameThread(observeOwner(reader), owner) || left <= 0) return false;
      left -= awaitPin(header, reader, pin, min(<i64>left, SLEEP_MS));
      pin = observePin(reader);
    }
    reader += READER_BYTES;
  }
  carryPending(header, root);
  rebuild(header, root);
  clearOrphan(header);
  return true;
}

/**
 * The dead writer may have published without carrying the dirty bits. oldestRoot is one word, moved before
 * what its root keeps alive is freed, so the roots from it to `root` are whole.
 */
function carryPending(header: usize, root: usize): void {
  const engine = changetype<Header>(header);
  let number = engine.oldestRoot;
  if (number >= ROOTS || (<u32>root - engine.roots) % ROOT_BYTES != 0) unreachable();
  if (<u32>root - engine.roots >= ROOTS * ROOT_BYTES) unreachable();
  while (rootAt(header, number) != root) {
    const next = (number + 1) % ROOTS;
    carryLayout(header, rootAt(header, number), rootAt(header, next));
    number = next;
  }
}

/** Carry the dirty bits of every log of one layout into the bitmaps that began with the next, and to the consumers. */
function carryLayout(header: usize, before: usize, after: usize): void {
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) {
    const directory = directoryOf(before, gfnIndexOf(asId));
    let gfn: u64 = 0;
    for (let entry = nextGfn(directory, gfn); entry != 0; entry = nextGfn(directory, gfn)) {
      const record: usize = changetype<Entry>(entry).record;
      carryRecord(header, record, after);
      gfn = changetype<Entry>(entry).key + changetype<Entry>(entry).npages;
    }
    foldMarks(header, windowsOf(before, asId));
  }
}

/** Rebuild the notebook from `root`, which no reader is behind. */
function rebuild(header: usize, root: usize): void {
  const engine = changetype<Header>(header);
  const number = (<u32>root - engine.roots) / ROOT_BYTES;
  const ids = engine.addressSpaces * engine.maxSlots * 4;
  engine.activeRoot = number;
  engine.oldestRoot = number;
  engine.retiredHead = 0;
  engine.retiredTail = 0;
  engine.effectCount = 0;
  engine.errorEntry = -1;
  setStaging(header, engine.stagingHome, STAGING_ENTRIES_MIN);
  memory.fill(engine.ids, 0, ids);
  memory.fill(engine.touched, 0, ids);
  memory.fill(engine.marks, 0, (engine.chunkCount + engine.recordCount + 7) >> 3);
  for (let asId: u32 = 0; asId < engine.addressSpaces; asId++) {
    markIndex(header, directoryOf(root, gfnIndexOf(asId)), true);
    markIndex(header, directoryOf(root, hvaIndexOf(asId)), false);
  }
  sweepPools(header);
  recoverRings(header);
  recoverTlbs(header);
  recoverWindows(header, number);
  recoverHostLog(header);
  sweepHeap(header);
  announceWait(header, 0);
  wakeObservers(header);
}

/** Mark the chunks of an index; with `records`, also the records, their bitmaps, and their ids. */
function markIndex(header: usize, directory: usize, records: bool): void {
  const engine = changetype<Header>(header);
  const count = chunkCountOf(header, directory);
  for (let r: u32 = 0; r < count; r++) {
    const chunk = chunkAt(directory, r);
    if (!isChunk(header, <u32>chunk)) unreachable();
    mark(header, (<u32>chunk - engine.chunks) / CHUNK_BYTES);
    if (!records) continue;
    const first = chunk + CHUNK_HEADER_BYTES;
    const end = first + changetype<Chunk>(chunk).count * ENTRY_BYTES;
    for (let entry = first; entry < end; entry += ENTRY_BYTES) {
      const record: usize = changetype<Entry>(entry).record;
      const slot = changetype<Record>(record);
      if (!isRecord(header, <u32>record) || slotKey(header, slot.slot) < 0) unreachable();
      mark(header, engine.chunkCount + (<u32>record - engine.records) / RECORD_BYTES);
      setRecord(header, slotKey(header, slot.slot), record);
      if (slot.bitmap != 0) markBitmap(slot.bitmap);
    }
  }
}

function mark(header: usize, bit: u32): void {
  const byte = changetype<Header>(header).marks + (bit >> 3);
  store<u8>(byte, <u8>(<u32>load<u8>(byte) | ((<u32>1) << (bit & 7))));
}

/** Free lists from the marks. */
function sweepPools(header: usize): void {
  const engine = changetype<Header>(header);
  engine.freeChunk = 0;
  for (let i = engine.chunkCount; i > 0; i--) {
    if (!marked(header, i - 1)) freeChunk(header, engine.chunks + (i - 1) * CHUNK_BYTES);
  }
  engine.freshChunk = engine.chunks + engine.chunkCount * CHUNK_BYTES;
  engine.freeRecord = 0;
  for (let i = engine.recordCount; i > 0; i--) {
    if (!marked(header, engine.chunkCount + i - 1))
      freeRecord(header, engine.records + (i - 1) * RECORD_BYTES);
  }
  engine.freshRecord = engine.records + engine.recordCount * RECORD_BYTES;
}

function marked(header: usize, bit: u32): bool {
  return ((<u32>load<u8>(changetype<Header>(header).marks + (bit >> 3)) >> (bit & 7)) & 1) != 0;
}
