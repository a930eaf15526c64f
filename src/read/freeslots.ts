/** Slot numbers that are free. */
import { type Engine, threadOf } from "../core/thread.js";
import { toInteger } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { slotsOf } from "./snapshot.js";

/**
 * The lowest `count` numbers (address space << 16 | id) that no slot of an address space has.
 * @throws KvmError ENOMEM if there are fewer; TypeError, RangeError naming the argument
 *
 * @example
 * const [slot] = freeSlotNumbers(engine, 1);
 */
export function freeSlotNumbers(engine: Engine, count: number, asId = 0): number[] {
  const thread = threadOf(engine);
  toInteger(count, "count", 0, thread.maxSlots);
  const used = new Set(slotsOf(thread, asId).map(({ slot }) => slot));
  const free: number[] = [];
  for (let id = 0; id < thread.maxSlots && free.length < count; id++) {
    const slot = (asId << 16) | id;
    if (!used.has(slot)) free.push(slot);
  }
  if (free.length < count) {
    const reason = `${free.length} slots are free, not ${count}; maxSlots is ${thread.maxSlots}`;
    throw new KvmError(-ERRNO.ENOMEM, "freeSlotNumbers", { reason });
  }
  return free;
}
