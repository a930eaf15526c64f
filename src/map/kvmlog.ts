/**
 * A log of KVM_SET_USER_MEMORY_REGION, of QEMU's trace point or of strace: each of its machines as a map, the slots
 * after the last update, and as a trace to replay. The log knows no RAM blocks, so what is behind a slot is its host
 * address. An update that KVM refused changed nothing.
 */
import {
  machinesOf,
  ParseError,
  parseKvmTrace,
  parseStrace,
  type TracedMachine,
  type TracedUpdate,
} from "../flatview/index.js";
import { KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../kvm/uapi.js";
import { countText } from "../replay/format.js";
import { rangeText, type Slot } from "../replay/gaps.js";
import { BlockLayout } from "../trace/blocks.js";
import { InputError } from "../trace/jsonl.js";
import type { Commit, Trace } from "../trace/trace.js";
import type { Update, UpdateKind } from "../trace/update.js";
import { putUpdate } from "./layouts.js";
import { inOrder, type MapNote, type MemoryMap, mappingOf, overlapIn } from "./memorymap.js";

const FLAGS = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD;

/** Who wrote a log. */
export type LogKind = "kvm" | "strace";

const SOURCES: Readonly<Record<LogKind, string>> = {
  kvm: "a log of QEMU's trace point kvm_set_user_memory",
  strace: "KVM_SET_USER_MEMORY_REGION calls of strace",
};

/** The machines of a log, at least one. @throws InputError with the line that is wrong */
export function logMachines(file: string, text: string, kind: LogKind): TracedMachine[] {
  try {
    const machines = machinesOf(kind === "kvm" ? parseKvmTrace(text) : parseStrace(text));
    if (machines.length === 0) throw new InputError(file, undefined, "the log has no update");
    return machines;
  } catch (error) {
    if (error instanceof ParseError) throw new InputError(file, error.line, error.reason);
    throw error;
  }
}

/** The map after the last update. @throws InputError with the line that is wrong */
export function machineMap(file: string, { updates }: TracedMachine, kind: LogKind): MemoryMap {
  const slots = new Map<number, Slot>();
  const notes: MapNote[] = [];
  const refused = updates.filter(({ ret }) => ret < 0);
  for (const update of updates) {
    if (update.ret < 0) continue;
    const slot = slotOf(file, update);
    if (slot.memorySize === 0 && !slots.has(slot.slot) && notes.length === 0) {
      notes.push({
        line: update.line,
        text: `slot ${slot.slot} is deleted: updates before it are not in the log`,
      });
    }
    putUpdate(slots, slot);
  }
  const mappings = inOrder([...slots.values()].map((slot) => mappingOf(slot)));
  const overlap = overlapIn(mappings);
  if (overlap !== undefined) {
    const [a, b] = overlap.map(rangeText);
    throw new InputError(file, undefined, `${a} and ${b} overlap: updates before them are not in the log`);
  }
  if (refused.length > 0) {
    notes.push({
      line: refused[0]!.line,
      text: `KVM refused ${countText(refused.length, "update")}, which changed nothing`,
    });
  }
  return {
    title: `${file}, after ${countText(updates.length, "update")}`,
    source: SOURCES[kind],
    mappings,
    notes,
  };
}

/** @throws InputError for what a map cannot have */
function slotOf(file: string, update: TracedUpdate): Slot {
  const { line, slot, flags, guestPhysAddr, memorySize, userspaceAddr, guestMemfd, guestMemfdOffset } =
    update;
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
    ...(guestMemfd !== undefined && { guestMemfd, guestMemfdOffset: Number(guestMemfdOffset ?? 0n) }),
  };
}

/**
 * The updates that KVM took as a trace. A log has no commits: QEMU's transactions delete first, so that a delete behind
 * anything else begins the next. Host memory that touches is one block, called by its address.
 * @throws InputError with the line that is wrong
 */
export function machineTrace(file: string, { updates, name }: TracedMachine): Trace {
  const accepted = updates
    .filter(({ ret }) => ret >= 0)
    .map((update) => [update, slotOf(file, update)] as const);
  const blocks = new BlockLayout();
  const place = placeHosts(
    file,
    accepted.map(([, slot]) => slot),
    blocks,
  );
  const live = new Map<number, Slot>();
  const commits: { id: number; phase: Commit["phase"]; updates: Update[] }[] = [];
  let deletes = false;
  for (const [{ line }, slot] of accepted) {
    const isDelete = slot.memorySize === 0;
    if (commits.length === 0 || (isDelete && !deletes)) {
      commits.push({ id: commits.length + 1, phase: "init", updates: [] });
    }
    deletes = isDelete;
    const { flags, guestPhysAddr: gpa, memorySize: size, guestMemfd, guestMemfdOffset } = slot;
    commits.at(-1)!.updates.push({
      line,
      commit: commits.length,
      kind: kindOf(live.get(slot.slot), slot),
      slot: slot.slot,
      flags,
      gpa,
      size,
      hva: place(slot),
      ret: 0,
      ...(guestMemfd !== undefined && { guestMemfd, guestMemfdOffset: guestMemfdOffset ?? 0 }),
    });
    putUpdate(live, slot);
  }
  const machine = name === "" ? file : `${file}, ${name}`;
  return { file, machine, blocks, commits, updates: accepted.length, sections: 0, romds: 0 };
}

function kindOf(before: Slot | undefined, { memorySize, guestPhysAddr }: Slot): UpdateKind {
  if (memorySize === 0) return "delete";
  if (before === undefined) return "create";
  return before.guestPhysAddr === guestPhysAddr ? "flags" : "move";
}

/** Lay the host memory of slots out as blocks. @returns where that of a slot is */
function placeHosts(file: string, slots: readonly Slot[], blocks: BlockLayout): (slot: Slot) => number {
  const ranges = slots
    .filter(({ memorySize }) => memorySize > 0)
    .map(({ userspaceAddr, memorySize }) => ({ start: userspaceAddr, end: userspaceAddr + memorySize }))
    .sort((a, b) => a.start - b.start);
  const joined: { start: number; end: number }[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else joined.push(range);
  }
  const nameOf = (start: number) => `0x${start.toString(16)}`;
  for (const { start, end } of joined) {
    if (!blocks.add(nameOf(start), end - start)) {
      throw new InputError(file, undefined, "its host memory is more than an address space has");
    }
  }
  return ({ userspaceAddr, memorySize }) => {
    let [low, high] = [0, joined.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (joined[middle]!.start <= userspaceAddr) low = middle + 1;
      else high = middle;
    }
    const found = joined[low - 1];
    // A delete may have any host address.
    if (memorySize === 0 || found === undefined) return blocks.hva(nameOf(joined[0]?.start ?? 0), 0);
    return blocks.hva(nameOf(found.start), userspaceAddr - found.start);
  };
}
