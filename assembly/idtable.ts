/**
 * Slot id -> record of the published layout, and slot id -> effect of the transaction that is being built.
 *
 * Plain tables: ids are below 32,764, so that KVM's hash of 128 chains is not needed. Belongs to the writer.
 * Mirrors slots->id_hash and id_to_memslot.
 */
import { EINVAL } from "./errno";
import { Effect, Header } from "./layout";
import { effectAt } from "./staging";

/** Address space * maxSlots + id of a slot number, or EINVAL if either is out of range. */
export function slotKey(header: usize, slot: u32): i32 {
  const engine = changetype<Header>(header);
  const id = slot & 0xffff;
  const asId = slot >> 16;
  if (asId >= engine.addressSpaces || id >= engine.maxSlots) return EINVAL;
  return asId * engine.maxSlots + id;
}

/** Published record of a slot key, 0 if there is none. */
export function recordOf(header: usize, key: u32): usize {
  const engine = changetype<Header>(header);
  if (!ASC_NO_ASSERT) assert(key < engine.addressSpaces * engine.maxSlots);
  return load<u32>(engine.ids + (key << 2));
}

export function setRecord(header: usize, key: u32, record: usize): void {
  store<u32>(changetype<Header>(header).ids + (key << 2), <u32>record);
}

/** Effect of the transaction on a slot key, 0 if it has none yet. */
export function effectOf(header: usize, key: u32): usize {
  const number = load<u32>(changetype<Header>(header).touched + (key << 2));
  return number == 0 ? 0 : effectAt(header, number - 1);
}

/** The transaction's effect on a slot key: none yet, so that it starts as "nothing changes". */
export function addEffect(header: usize, key: u32, oldRecord: usize): usize {
  const engine = changetype<Header>(header);
  const number = engine.effectCount;
  const effect = effectAt(header, number);
  changetype<Effect>(effect).key = key;
  changetype<Effect>(effect).oldRecord = <u32>oldRecord;
  changetype<Effect>(effect).newRecord = <u32>oldRecord;
  store<u32>(engine.touched + (key << 2), number + 1);
  engine.effectCount = number + 1;
  return effect;
}

/** What an effect makes of its slot is in force from here on. */
export function commitEffect(header: usize, effect: usize): void {
  const engine = changetype<Header>(header);
  const place = changetype<Effect>(effect).key << 2;
  store<u32>(engine.ids + place, changetype<Effect>(effect).newRecord);
  store<u32>(engine.touched + place, 0);
}

/** Nothing comes of the transaction's effects. */
export function dropEffects(header: usize): void {
  const engine = changetype<Header>(header);
  const count = engine.effectCount;
  for (let i: u32 = 0; i < count; i++) {
    store<u32>(engine.touched + (changetype<Effect>(effectAt(header, i)).key << 2), 0);
  }
  engine.effectCount = 0;
}
