/**
 * The pool of records: two for each slot that can exist, the published one and its successor.
 *
 * A record is written while it is private and never again: readers of an old layout still see the old record.
 * Mirrors struct kvm_memory_slot and its allocation in kvm_set_memory_region.
 */
import { Header, RECORD_BYTES, Record } from "./layout";

/** Take a record from the pool; its fields are not initialised. 0 if none is left. */
export function allocRecord(header: usize): usize {
  const engine = changetype<Header>(header);
  const record: usize = engine.freeRecord;
  if (record != 0) {
    engine.freeRecord = load<u32>(record);
    return record;
  }
  const fresh: usize = engine.freshRecord;
  if (fresh == engine.records + engine.recordCount * RECORD_BYTES) return 0;
  engine.freshRecord = <u32>fresh + RECORD_BYTES;
  return fresh;
}

/** Give a record back that no reader can reach. */
export function freeRecord(header: usize, record: usize): void {
  const engine = changetype<Header>(header);
  store<u32>(record, engine.freeRecord);
  engine.freeRecord = <u32>record;
}

/** Address space of a record's slot. */
export function asIdOf(record: usize): u32 {
  return changetype<Record>(record).slot >> 16;
}

/** Frame after the last one. */
export function endGfn(record: usize): u64 {
  return changetype<Record>(record).baseGfn + changetype<Record>(record).npages;
}
