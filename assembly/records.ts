/**
 * The pool of records: two for each slot that can exist, the published one and its successor.
 *
 * A record is written while it is private and never again: readers of an old layout still see the old record.
 * Mirrors struct kvm_memory_slot and its allocation in kvm_set_memory_region.
 */
import { Header, RECORD_BYTES, Record } from "./layout";
import { isRecord } from "./retired";

/** Take a record from the pool; its fields are not initialised. 0 if none is left. */
export function allocRecord(header: usize): usize {
  const engine = changetype<Header>(header);
  const free: usize = engine.freeRecord;
  const record: usize = free != 0 ? free : <usize>engine.freshRecord;
  if (record == engine.records + engine.recordCount * RECORD_BYTES) return 0;
  // Damage: the list leads out of the pool.
  if (!isRecord(header, <u32>record)) unreachable();
  if (free != 0) engine.freeRecord = load<u32>(record);
  else engine.freshRecord = <u32>record + RECORD_BYTES;
  return record;
}

/** Give a record back that no reader can reach. */
export function freeRecord(header: usize, record: usize): void {
  const engine = changetype<Header>(header);
  if (!ASC_NO_ASSERT) assert(isRecord(header, <u32>record));
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
