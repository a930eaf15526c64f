/**
 * A list of updates becomes one layout.
 *
 *   stage    each entry in order: KVM's checks against the state that the entries before it left -> net
 *            effects
 *   apply    on private copies of the touched chunks: take out every old record, put in every new one
 *            (EEXIST)
 *   windows  the MMIO windows that were staged with the list (EINVAL, EEXIST)
 *   limits   highest gpa (EINVAL), memory for dirty bitmaps (ENOMEM)
 *   publish  one store; before it every failure drops the copies and nothing has happened
 *
 * Invariants
 *  - Until publishSpare nothing that a reader can reach is written.
 *  - An effect's newRecord is private or equal to its oldRecord.
 *
 * Mirrors kvm_set_memory_region, kvm_set_memslot, and what the 2022 RFC's list ioctl was meant to be.
 */

import { carryRecord } from "./carry";
import { collectChanged } from "./changed";
import { createLog } from "./consumers";
import { closeDirectory, dropDirectory, openDirectory } from "./directory";
import { freeBitmap, logOf, useDirtyBitmap } from "./dirtybitmap";
import { E2BIG, EBUSY, EEXIST, ENOMEM, OK } from "./errno";
import { INSERTED, insertGfn, POOL_EMPTY, removeGfn, replaceGfn } from "./gfnindex";
import {
  commitHostLog,
  dropStagedHostLog,
  foldMarks,
  hostPage,
  keepPages,
  keepStagedWindows,
  spoils,
} from "./hostlog";
import { closeHva, insertHva, removeHva, replaceHva } from "./hvaindex";
import { addEffect, commitEffect, dropEffects, effectOf, recordOf, slotKey } from "./idtable";
import {
  ADDRESS_SPACES_MAX,
  CHANGED_OVERFLOW,
  CHECK_GPA_END,
  CHECK_OVERLAP,
  CHECK_SHIFT,
  CHECK_SLOT,
  COMMIT_CHANGED,
  COMMIT_TAKE_DIRTY,
  Effect,
  Header,
  REGION_BYTES,
  Record,
  Region,
  ROOT_BYTES,
  Root,
  TABLE_MEMFDS,
  TABLES,
} from "./layout";
import { bindMemfd } from "./privatememory";
import { publishSpare } from "./publish";
import { allocRecord, asIdOf, endGfn, freeRecord } from "./records";
import { BITMAP_DIES, BITMAP_KEPT, retireRecord } from "./retired";
import {
  directoryOf,
  generationOf,
  gfnIndexOf,
  hvaIndexOf,
  rootAt,
  setDirectory,
  setGeneration,
  spareRoot,
} from "./roots";
import { effectAt, effectOfEntry, regionAt } from "./staging";
import {
  CHANGE_CREATE,
  CHANGE_DELETE,
  CHANGE_NONE,
  checkRegion,
  classify,
  invalid,
  KVM_MEM_LOG_DIRTY_PAGES,
} from "./validate";
import { checkWindows, covers, replaceWindows, unstageWindows, windowsDiffer, windowsOf } from "./windows";

/** Results of applyList besides a negative errno. */
export const UNCHANGED: i32 = 0;
export const PUBLISHED: i32 = 1;

/** Internal: a conflict whose entry can only be told by putting every record in anew. */
const AMBIGUOUS: i32 = 2;

/**
 * Apply the `count` entries of the staging area as one change. `version2`: one entry, a struct
 * kvm_userspace_memory_region2. `mode`: COMMIT_CHANGED and
 * COMMIT_TAKE_DIRTY leave their answers in the staging area. Returns PUBLISHED,
 * UNCHANGED, or a negative errno with errorEntry set; EBUSY means that the spare copies are still in use by
 * readers, and nothing else is wrong.
 */
export function applyList(header: usize, count: u32, version2: bool, mode: u32): i32 {
  const engine = changetype<Header>(header);
  engine.errorEntry = -1;
  if (count > engine.maxListEntries) return E2BIG;
  if (spareRoot(header) == engine.oldestRoot) return EBUSY;
  engine.transaction += 1;
  memory.copy(rootAt(header, spareRoot(header)), rootAt(header, engine.activeRoot), ROOT_BYTES);
  const retiredTail = engine.retiredTail;
  const result = build(header, count, version2);
  if (result == PUBLISHED) publish(header, mode);
  else rollback(header, retiredTail);
  return result;
}

/** Checks, net effects and the private layout of `count` staged entries. */
function build(header: usize, count: u32, version2: bool): i32 {
  for (let entry: u32 = 0; entry < count; entry++) {
    const result = stageEntry(header, entry, version2);
    // An empty pool is the fault of no entry.
    if (result == EBUSY) return EBUSY;
    if (result != OK) return refuse(header, entry, result);
  }
  let windows = false;
  if (changetype<Header>(header).stagedTables != 0) {
    const refused = checkWindows(header);
    if (refused != OK) return refused;
    windows = windowsDiffer(header, rootAt(header, changetype<Header>(header).activeRoot));
  }
  if (dropNullEffects(header, count) == 0 && !windows) return UNCHANGED;
  let result = applyEffects(header, count);
  if (result != OK) return result;
  if (version2) result = bindMemfd(header, regionAt(header, 0));
  if (result != OK) return refuse(header, 0, result);
  result = checkLimits(header, count);
  if (result != OK) return result;
  return windows && !keepStagedWindows(header) ? ENOMEM : PUBLISHED;
}

/** Check one entry and add what it does to the net effects. */
function stageEntry(header: usize, entry: u32, version2: bool): i32 {
  const region = regionAt(header, entry);
  store<u32>(effectOfEntry(header, entry), 0);
  const key = slotKey(header, changetype<Region>(region).slot);
  if (key < 0) return invalid(header, CHECK_SLOT);
  const memfdOffset = version2 ? load<u64>(region, REGION_BYTES) : 0;
  const refused = checkRegion(header, region, version2, memfdOffset);
  if (refused != OK) return refused;
  let effect = effectOf(header, key);
  const current: usize = effect != 0 ? <usize>changetype<Effect>(effect).newRecord : recordOf(header, key);
  const change = classify(header, region, current);
  if (change < 0) return change;
  if (change == CHANGE_NONE) return OK;
  if (effect == 0) effect = addEffect(header, key, current);
  if (change == CHANGE_DELETE) {
    if (<u32>current != changetype<Effect>(effect).oldRecord) freeRecord(header, current);
    changetype<Effect>(effect).newRecord = 0;
  } else {
    const record = privateRecord(header, effect, region, current, change);
    if (record == 0) return EBUSY;
    changetype<Effect>(effect).newRecord = <u32>record;
  }
  changetype<Effect>(effect).entry = entry;
  const number = (<u32>effect - <u32>effectAt(header, 0)) / offsetof<Effect>() + 1;
  store<u32>(effectOfEntry(header, entry), number);
  return OK;
}

/** The effect's private record, made from the region and the record it replaces. 0 if the pool is empty. */
function privateRecord(header: usize, effect: usize, region: usize, current: usize, change: i32): usize {
  const shift = <u64>changetype<Header>(header).pageShift;
  const mem = changetype<Region>(region);
  const kept = change == CHANGE_CREATE ? 0 : changetype<Record>(current).bitmap;
  const isPrivate = current != 0 && <u32>current != changetype<Effect>(effect).oldRecord;
  const record = isPrivate ? current : allocRecord(header);
  if (record == 0) return 0;
  const slot = changetype<Record>(record);
  slot.baseGfn = mem.guestPhysAddr >> shift;
  slot.userspaceAddr = mem.userspaceAddr;
  slot.npages = <u32>(mem.memorySize >> shift);
  slot.flags = mem.flags;
  slot.slot = mem.slot;
  slot.bitmap = mem.flags & KVM_MEM_LOG_DIRTY_PAGES ? kept : 0;
  return record;
}

/** Delete and create of one and the same mapping, or there and back again, is nothing. The number of what is left. */
function dropNullEffects(header: usize, entries: u32): u32 {
  const count = changetype<Header>(header).effectCount;
  // It takes two entries.
  if (count == entries) return count;
  let left: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const effect = changetype<Effect>(effectAt(header, i));
    const before: usize = effect.oldRecord;
    const after: usize = effect.newRecord;
    if (before != after && samePlace(before, after) && sameHost(before, after)) {
      if (changetype<Record>(before).flags == changetype<Record>(after).flags) {
        freeRecord(header, after);
        effect.newRecord = <u32>before;
      }
    }
    if (effect.oldRecord != effect.newRecord) left++;
  }
  return left;
}

/** The new layout on private copies. */
function applyEffects(header: usize, entries: u32): i32 {
  const engine = changetype<Header>(header);
  const retiredTail = engine.retiredTail;
  let result = removeOld(header, true);
  if (result == OK) result = insertNew(header, entries, true);
  if (result != AMBIGUOUS) return result;
  dropDirectories(header);
  engine.retiredTail = retiredTail;
  result = removeOld(header, false);
  return result == OK ? insertNew(header, entries, false) : result;
}

/**
 * First half of apply: take the old records out. With `inPlace` a record that keeps its range stays for now.
 */
function removeOld(header: usize, inPlace: bool): i32 {
  const count = changetype<Header>(header).effectCount;
  let asId = ADDRESS_SPACES_MAX;
  let gfn: usize = 0;
  let hva: usize = 0;
  for (let i: u32 = 0; i < count; i++) {
    const effect = changetype<Effect>(effectAt(header, i));
    const before: usize = effect.oldRecord;
    const after: usize = effect.newRecord;
    if (before == after) continue;
    const own = asIdOf(before != 0 ? before : after);
    if (own != asId) {
      asId = own;
      gfn = ownDirectory(header, gfnIndexOf(asId));
      hva = ownDirectory(header, hvaIndexOf(asId));
    }
    if (before == 0) continue;
    if (!(inPlace && samePlace(before, after))) {
      if (!removeGfn(header, gfnIndexOf(asId), gfn, before)) return EBUSY;
    }
    if (!sameHost(before, after) && !removeHva(header, hvaIndexOf(asId), hva, before)) return EBUSY;
  }
  return OK;
}

/** The directory of an index that the transaction may edit. */
function ownDirectory(header: usize, index: u32): usize {
  const root = rootAt(header, spareRoot(header));
  const published = directoryOf(rootAt(header, changetype<Header>(header).activeRoot), index);
  let directory = directoryOf(root, index);
  if (directory == published) {
    directory = openDirectory(header, index);
    setDirectory(root, index, directory);
  }
  return directory;
}

/** Second half of apply: put the new records in, in the order of the entries that decided them. */
function insertNew(header: usize, entries: u32, inPlace: bool): i32 {
  const root = rootAt(header, spareRoot(header));
  for (let entry: u32 = 0; entry < entries; entry++) {
    const number = load<u32>(effectOfEntry(header, entry));
    if (number == 0) continue;
    const effect = changetype<Effect>(effectAt(header, number - 1));
    const before: usize = effect.oldRecord;
    const after: usize = effect.newRecord;
    if (effect.entry != entry || after == 0 || before == after) continue;
    const asId = asIdOf(after);
    const gfn = directoryOf(root, gfnIndexOf(asId));
    const hva = directoryOf(root, hvaIndexOf(asId));
    if (inPlace && samePlace(before, after)) {
      if (!replaceGfn(header, gfn, after)) return EBUSY;
    } else {
      const result = insertGfn(header, gfnIndexOf(asId), gfn, after);
      if (result == POOL_EMPTY) return EBUSY;
      if (result != INSERTED) {
        const other = effectOf(header, slotKey(header, changetype<Record>(result).slot));
        if (inPlace && other != 0 && changetype<Effect>(other).entry > entry) return AMBIGUOUS;
        const met = changetype<Record>(result).slot;
        changetype<Header>(header).errorCheck = (CHECK_OVERLAP << CHECK_SHIFT) | met;
        return refuse(header, entry, EEXIST);
      }
    }
    if (sameHost(before, after)) {
      if (!replaceHva(header, hva, after)) return EBUSY;
    } else if (!insertHva(header, hvaIndexOf(asId), hva, after)) return EBUSY;
  }
  return OK;
}

function samePlace(a: usize, b: usize): bool {
  if (a == 0 || b == 0) return false;
  return (
    changetype<Record>(a).baseGfn == changetype<Record>(b).baseGfn &&
    changetype<Record>(a).npages == changetype<Record>(b).npages
  );
}

function sameHost(a: usize, b: usize): bool {
  if (a == 0 || b == 0) return false;
  return (
    changetype<Record>(a).userspaceAddr == changetype<Record>(b).userspaceAddr &&
    changetype<Record>(a).npages == changetype<Record>(b).npages
  );
}

/** What KVM checks after the overlap: x86's highest gfn, then memory for the dirty bitmap of each new log. */
function checkLimits(header: usize, entries: u32): i32 {
  const engine = changetype<Header>(header);
  const bitmaps = useDirtyBitmap(header);
  const birth = changetype<Root>(rootAt(header, engine.activeRoot)).commit + 1;
  let result = OK;
  for (let entry: u32 = 0; entry < entries; entry++) {
    const number = load<u32>(effectOfEntry(header, entry));
    if (number == 0) continue;
    const effect = changetype<Effect>(effectAt(header, number - 1));
    if (effect.entry != entry || effect.newRecord == 0 || effect.newRecord == effect.oldRecord) continue;
    const slot = changetype<Record>(<usize>effect.newRecord);
    if (endGfn(effect.newRecord) - 1 > engine.maxGfn) {
      return refuse(header, entry, invalid(header, CHECK_GPA_END));
    }
    if (result == OK && bitmaps && slot.flags & KVM_MEM_LOG_DIRTY_PAGES && slot.bitmap == 0) {
      slot.bitmap = <u32>createLog(header, slot.npages, birth);
      const kept = slot.bitmap != 0 && keepPages(header, hostPage(header, slot.userspaceAddr), slot.npages);
      if (!kept) result = refuse(header, entry, ENOMEM);
    }
  }
  return result;
}

function refuse(header: usize, entry: u32, errno: i32): i32 {
  changetype<Header>(header).errorEntry = entry;
  return errno;
}

/** Hand the finished layout to the readers, and what it replaced to the retired. */
function publish(header: usize, mode: u32): void {
  const engine = changetype<Header>(header);
  const published = rootAt(header, engine.activeRoot);
  const root = rootAt(header, spareRoot(header));
  const tables = engine.stagedTables != 0;
  let covered = false;
  for (let asId: u32 = 0; asId < engine.addressSpaces; asId++) {
    const windows = tables && replaceWindows(header, root, asId);
    if (windows && (covers(root, asId) || covers(published, asId))) covered = true;
    const gfn = directoryOf(root, gfnIndexOf(asId));
    const slots = gfn != directoryOf(published, gfnIndexOf(asId));
    if (slots) {
      closeDirectory(gfn);
      const hva = directoryOf(root, hvaIndexOf(asId));
      closeHva(header, hva);
      closeDirectory(hva);
    }
    if (slots || windows) setGeneration(root, asId, generationOf(root, asId) + engine.addressSpaces);
  }
  if (tables) {
    for (let index = TABLE_MEMFDS; index < TABLES; index++) replaceWindows(header, root, index);
  }
  changetype<Root>(root).commit += 1;
  const ended = commitEffects(header, (mode & COMMIT_TAKE_DIRTY) != 0);
  if (mode & COMMIT_CHANGED) {
    collectChanged(header, published, root);
    // Which pages the windows over slots have covered, or cover now, is not worth a comparison.
    if (covered) engine.changedCount = CHANGED_OVERFLOW;
  }
  if (engine.stagedHostLog != 0) commitHostLog(header);
  publishSpare(header);
  // Readers of the old layout may still add to these bits: they are carried once more when it is recycled.
  if (tables) {
    foldReplaced(header, published, root);
    unstageWindows(header);
  }
  if (ended) carryEnded(header, root);
  engine.effectCount = 0;
}

/** Tell the consumers what was written through windows that were replaced. */
function foldReplaced(header: usize, before: usize, after: usize): void {
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) {
    const table = windowsOf(before, asId);
    if (table != windowsOf(after, asId)) foldMarks(header, table);
  }
}

/**
 * Put what the new layout replaces on the list of the retired and what it brings into the id table; with `take`, tell
 * which logs end. True if one does.
 */
function commitEffects(header: usize, take: bool): bool {
  const engine = changetype<Header>(header);
  const count = engine.effectCount;
  let ended = false;
  engine.endedCount = 0;
  for (let i: u32 = 0; i < count; i++) {
    const effect = effectAt(header, i);
    const before: usize = changetype<Effect>(effect).oldRecord;
    const after: usize = changetype<Effect>(effect).newRecord;
    commitEffect(header, effect);
    if (before == 0 || before == after) continue;
    if (!logEnds(header, before, after)) {
      retireRecord(header, before, BITMAP_KEPT);
      continue;
    }
    ended = true;
    retireRecord(header, before, BITMAP_DIES);
    if (take && changetype<Record>(before).bitmap != 0) tellEnded(header, before);
  }
  return ended;
}

/** Put the log of `record`, which ends, on the list of those that the caller takes. */
function tellEnded(header: usize, record: usize): void {
  const engine = changetype<Header>(header);
  const shift = <u64>engine.pageShift;
  const old = changetype<Record>(record);
  const log = changetype<Region>(regionAt(header, engine.endedCount));
  log.slot = old.slot;
  log.flags = old.flags;
  log.guestPhysAddr = old.baseGfn << shift;
  log.memorySize = (<u64>old.npages) << shift;
  log.userspaceAddr = logOf(old.bitmap);
  engine.endedCount += 1;
}

/** Carry the dirty bits of the logs that ended. */
function carryEnded(header: usize, root: usize): void {
  const count = changetype<Header>(header).effectCount;
  for (let i: u32 = 0; i < count; i++) {
    const effect = changetype<Effect>(effectAt(header, i));
    if (logEnds(header, effect.oldRecord, effect.newRecord)) carryRecord(header, effect.oldRecord, root);
  }
}

/**
 * True if the bitmap of `before` has no place in `after`, the record that takes over its slot (0: none does); also if
 * it has none, and consumers must know that its pages may have been written.
 */
function logEnds(header: usize, before: usize, after: usize): bool {
  if (before == 0 || before == after) return false;
  if (changetype<Record>(before).bitmap == 0) return spoils(header, before);
  return after == 0 || changetype<Record>(after).bitmap != changetype<Record>(before).bitmap;
}

/** Forget the transaction. */
function rollback(header: usize, retiredTail: u32): void {
  const engine = changetype<Header>(header);
  dropDirectories(header);
  dropStagedHostLog(header);
  engine.retiredTail = retiredTail;
  const count = engine.effectCount;
  for (let i: u32 = 0; i < count; i++) {
    const effect = changetype<Effect>(effectAt(header, i));
    const before: usize = effect.oldRecord;
    const after: usize = effect.newRecord;
    if (after == 0 || after == before) continue;
    const bitmap: usize = changetype<Record>(after).bitmap;
    if (bitmap != 0 && (before == 0 || <usize>changetype<Record>(before).bitmap != bitmap)) {
      freeBitmap(header, bitmap);
    }
    freeRecord(header, after);
  }
  dropEffects(header);
}

/** Give the private chunks of all private directories back. */
function dropDirectories(header: usize): void {
  const engine = changetype<Header>(header);
  const root = rootAt(header, spareRoot(header));
  const published = rootAt(header, engine.activeRoot);
  const indexes = engine.addressSpaces << 1;
  for (let index: u32 = 0; index < indexes; index++) {
    const directory = directoryOf(root, index);
    if (directory == directoryOf(published, index)) continue;
    dropDirectory(header, directory);
    setDirectory(root, index, directoryOf(published, index));
  }
}
