/**
 * A log of QEMU's `-trace kvm_set_user_memory` as a map: the slots after its last update. The log knows no RAM
 * blocks, so what is behind a slot is its host address. An update that KVM refused changed nothing.
 */
import { ParseError, parseKvmTrace, type TracedUpdate } from "../flatview/index.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../uapi.js";
import { InputError } from "./jsonl.js";
import { type SlotTable, withUpdate } from "./layouts.js";
import { inOrder, type MemoryMap, mappingOf, overlapIn } from "./memorymap.js";
import { rangeText, type Slot } from "./windows.js";

const FLAGS = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;

/** A line of the trace point, with or without the clock of QEMU's log backend. */
export function isKvmLog(text: string): boolean {
  return /^(?:\d+@\d+\.\d+:)?kvm_set_user_memory /m.test(text);
}

/** @throws InputError with the line that is wrong */
export function parseKvmLog(file: string, text: string): MemoryMap {
  const updates = updatesOf(file, text);
  const accepted = updates.filter(({ ret }) => ret >= 0);
  const slots: SlotTable = accepted.map((update) => slotOf(file, update)).reduce(withUpdate, new Map());
  const mappings = inOrder([...slots.values()].map((slot) => mappingOf(slot)));
  const overlap = overlapIn(mappings);
  if (overlap !== undefined) {
    const [a, b] = overlap.map(rangeText);
    throw new InputError(file, undefined, `${a} and ${b} overlap: updates before them are not in the log`);
  }
  return { title: `${file}, after ${updates.length} updates`, mappings };
}

function updatesOf(file: string, text: string): TracedUpdate[] {
  try {
    return parseKvmTrace(text);
  } catch (error) {
    if (error instanceof ParseError) throw new InputError(file, error.line, error.reason);
    throw error;
  }
}

function slotOf(file: string, update: TracedUpdate): Slot {
  const { line, slot, flags, guestPhysAddr, memorySize, userspaceAddr } = update;
  if ((flags & ~FLAGS) !== 0) throw new InputError(file, line, `flags 0x${flags.toString(16)} are unknown`);
  for (const end of [guestPhysAddr + memorySize, userspaceAddr + memorySize]) {
    if (end > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new InputError(file, line, `it ends at 0x${end.toString(16)}, beyond 2^53`);
    }
  }
  return {
    slot,
    flags,
    guestPhysAddr: Number(guestPhysAddr),
    memorySize: Number(memorySize),
    userspaceAddr: Number(userspaceAddr),
  };
}
