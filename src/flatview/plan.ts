/**
 * The shortest list that turns the slots that are mapped into those that are wanted.
 *
 *   equal in range, host and flags            nothing
 *   equal in size, host and READONLY          one entry: KVM's FLAGS_ONLY or MOVE
 *   else                                      one entry to delete, one to create
 *
 * An entry changes one slot id. So each old slot that is not wanted costs one, and each wanted one that is not
 * there costs one, unless they share it, which KVM allows as above; sharing is between slots of one class, so
 * any pairing inside the classes shares as many as there can be.
 *
 * The list deletes first. It is one atomic change, but whoever applies its entries one by one (a recorder, a
 * real KVM) then meets no overlap that is not there in the end, unless slots move onto each other's places.
 */
import { KVM_MEM_READONLY } from "../uapi.js";
import type { SlotRange } from "./mapping.js";

/** A slot with its number, address space << 16 | id. */
export interface NumberedSlot extends SlotRange {
  /** Slot number. */
  readonly slot: number;
}

export interface Plan {
  /** Entries, deletes first. */
  readonly list: readonly NumberedSlot[];
  /** The slots that are there afterwards. */
  readonly slots: readonly NumberedSlot[];
}

/** What two slots of one class have in common. */
type Class = (slot: SlotRange) => string;

const end = ({ guestPhysAddr, memorySize }: SlotRange) => guestPhysAddr + memorySize;
const distance = ({ guestPhysAddr, userspaceAddr }: SlotRange) => guestPhysAddr - userspaceAddr;

const equal: Class = (slot) => `${slot.guestPhysAddr} ${slot.memorySize} ${slot.userspaceAddr} ${slot.flags}`;
/** One update of KVM can turn one into the other. */
const convertible: Class = ({ memorySize, userspaceAddr, flags }) =>
  `${memorySize} ${userspaceAddr} ${flags & KVM_MEM_READONLY}`;
const convertibleInPlace: Class = (slot) => `${slot.guestPhysAddr} ${convertible(slot)}`;
/** The same memory, from the same byte or up to the same byte. */
const sameStart: Class = (slot) => `${slot.guestPhysAddr} ${distance(slot)}`;
const sameEnd: Class = (slot) => `${end(slot)} ${distance(slot)}`;

/** Pair slots of one class; those that are paired leave `old` and `wanted`. */
function pair(old: Set<NumberedSlot>, wanted: Set<SlotRange>, classOf: Class): NumberedSlot[] {
  const classes = new Map<string, NumberedSlot[]>();
  for (const slot of old) {
    const known = classes.get(classOf(slot));
    if (known === undefined) classes.set(classOf(slot), [slot]);
    else known.push(slot);
  }
  const pairs: NumberedSlot[] = [];
  for (const range of wanted) {
    const slot = classes.get(classOf(range))?.shift();
    if (slot === undefined) continue;
    old.delete(slot);
    wanted.delete(range);
    pairs.push({ ...range, slot: slot.slot });
  }
  return pairs;
}

/**
 * Plan for one address space. A slot that grows or shrinks keeps its number; other new ones get the lowest that
 * are free.
 * @param mapped slots that are there and may be changed
 * @param taken ids that may not be used
 */
export function planList(
  mapped: readonly NumberedSlot[],
  wanted: readonly SlotRange[],
  asId: number,
  taken: ReadonlySet<number>,
): Plan {
  const old = new Set(mapped);
  const made = new Set(wanted);
  const kept = pair(old, made, equal);
  const changed = [...pair(old, made, convertibleInPlace), ...pair(old, made, convertible)];
  const deleted = [...old].map((slot) => ({ ...slot, flags: 0, memorySize: 0 }));
  const created = [...pair(old, made, sameStart), ...pair(old, made, sameEnd)];
  const used = new Set([...kept, ...changed, ...created].map(({ slot }) => slot & 0xffff));
  let id = 0;
  for (const range of made) {
    while (used.has(id) || taken.has(id)) id++;
    created.push({ ...range, slot: (asId << 16) | id++ });
  }
  created.sort((a, b) => a.guestPhysAddr - b.guestPhysAddr);
  return { list: [...deleted, ...changed, ...created], slots: [...kept, ...changed, ...created] };
}
