/**
 * What devices do with guest memory: copy it, and have its host bytes as views. Each function takes the guest memory
 * and works in the layout of the vCPU's section, or in one of its own.
 */
import { show, toAddress } from "../kvm/arguments.js";
import { accessOf, type GuestAccess, toGpa } from "./access.js";
import type { GuestMemory } from "./memory.js";
import type { Run } from "./runs.js";
import { READ, WRITE } from "./target.js";

/** Whether bytes are to be written. */
export interface PieceOptions {
  /** For writes: READONLY and KVM_MEMORY_ATTRIBUTE_NW refuse. Default false: for reads. */
  readonly write?: boolean | undefined;
}

/** A part of the bytes in one run of host memory. */
interface Place {
  readonly run: Run;
  readonly at: number;
  readonly count: number;
}

/** The runs of [gpa, gpa + bytes), up to the first hole. */
function placesOf(access: GuestAccess, gpa: number, bytes: number, kind: number): Place[] {
  const places: Place[] = [];
  for (let done = 0; done < bytes; ) {
    const run = access.findMemory(gpa + done, kind);
    if (run === undefined) break;
    const at = gpa + done - run.gpa;
    const count = Math.min(bytes - done, run.bytes.length - at);
    places.push({ run, at, count });
    done += count;
  }
  return places;
}

function total(places: readonly Place[]): number {
  return places.reduce((sum, { count }) => sum + count, 0);
}

/** Mark and note what was written, or is about to be. */
function wrote(access: GuestAccess, { run, at, count }: Place): void {
  if (run.logged) access.mark(run.gpa + at, count, run);
  if (run.watched) access.note(run.gpa + at, count, WRITE, run, 0);
}

function kindOf({ write = false }: PieceOptions): number {
  if (typeof write !== "boolean") throw new TypeError(`write must be a boolean, not ${show(write)}`);
  return write ? WRITE : READ;
}

/** Bytes of a range that begin at a number, whatever number that is. @throws TypeError */
function checkRange(gpa: number, bytes: number, name = "gpa"): number {
  if (typeof gpa !== "number") throw new TypeError(`${name} must be a number, not ${show(gpa)}`);
  toAddress(bytes, "bytes");
  return toGpa(gpa);
}

/**
 * Copy guest bytes to another guest address, as memmove does, over any slots and windows of host memory. Whole or not
 * at all: a hole, a device among them, is an error and nothing was copied.
 * @throws KvmError EFAULT with `hole`; TypeError naming the argument
 */
export function copyGuest(memory: GuestMemory, to: number, from: number, bytes: number): void {
  const access = accessOf(memory);
  const source = checkRange(from, bytes, "from");
  const target = checkRange(to, bytes, "to");
  if (bytes === 0) return;
  access.begin();
  let hole: [gpa: number, at: number, write: boolean] | undefined;
  try {
    const reads = placesOf(access, source, bytes, READ);
    if (total(reads) < bytes) hole = [source, source + total(reads), false];
    else {
      const writes = placesOf(access, target, bytes, WRITE);
      if (total(writes) < bytes) hole = [target, target + total(writes), true];
      else move(access, reads, writes, bytes);
    }
  } finally {
    access.end();
  }
  if (hole !== undefined) {
    const [gpa, at, write] = hole;
    access.refuse("copyGuest", gpa, bytes, at, write);
  }
  access.tell();
}

function move(access: GuestAccess, reads: readonly Place[], writes: readonly Place[], bytes: number): void {
  // By way of other bytes: a later part could be read from where an earlier one was put, in any alias.
  const between = reads.length === 1 && writes.length === 1 ? undefined : new Uint8Array(bytes);
  let done = 0;
  for (const { run, at, count } of reads) {
    between?.set(run.bytes.subarray(at, at + count), done);
    if (run.watched) access.note(run.gpa + at, count, READ, run, 0);
    done += count;
  }
  done = 0;
  for (const place of writes) {
    const { run, at, count } = place;
    const first = reads[0]!;
    run.bytes.set(
      between?.subarray(done, done + count) ?? first.run.bytes.subarray(first.at, first.at + count),
      at,
    );
    wrote(access, place);
    done += count;
  }
}

/**
 * Guest bytes as views of their host memory, for DMA, a disk, an upload to a GPU, an iovec: in order, neighbours in
 * host memory as one. They are valid until the vCPU's section ends or moves on; outside of sections until the next
 * commit.
 * With `write` their pages are dirty from now on, and again when the section ends.
 * @throws KvmError EFAULT with `hole`, for a device as well; TypeError naming the argument
 */
export function guestPieces(
  memory: GuestMemory,
  gpa: number,
  bytes: number,
  options: PieceOptions = {},
): Uint8Array[] {
  const access = accessOf(memory);
  const start = checkRange(gpa, bytes);
  const kind = kindOf(options);
  const pieces: Uint8Array[] = [];
  access.begin();
  let done = 0;
  try {
    const places = placesOf(access, start, bytes, kind);
    done = total(places);
    for (const place of done === bytes ? places : []) {
      const { run, at, count } = place;
      const piece = run.bytes.subarray(at, at + count);
      const last = pieces.at(-1);
      if (last?.buffer === piece.buffer && last.byteOffset + last.length === piece.byteOffset) {
        pieces[pieces.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + count);
      } else pieces.push(piece);
      const from = run.gpa + at;
      if (kind === WRITE && !access.keepMarked(from, count, run)) access.mark(from, count, run);
      if (run.watched) access.note(from, count, kind, run, 0);
    }
  } finally {
    access.end();
  }
  if (done < bytes) access.refuse("guestPieces", start, bytes, start + done, kind === WRITE);
  access.tell();
  return pieces;
}

/** True if all the bytes are memory that may be read, or written. Nothing is accessed, nobody is told. */
export function containsGuest(
  memory: GuestMemory,
  gpa: number,
  bytes: number,
  options: PieceOptions = {},
): boolean {
  const access = accessOf(memory);
  const start = checkRange(gpa, bytes);
  const kind = kindOf(options);
  access.begin();
  try {
    return total(placesOf(access, start, bytes, kind)) === bytes;
  } finally {
    access.end();
  }
}
