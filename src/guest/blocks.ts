/**
 * Bytes of guest memory in blocks, from run to run. What lies before a hole is done, and dirty; the caller tells it.
 * The array may be guest memory itself: then the bytes go by way of another in between, because a piece could overwrite
 * the bytes that the next one is read from.
 */
import { show } from "../kvm/arguments.js";
import { type GuestAccess, toGpa } from "./access.js";
import { type CopyPiece, READ, WRITE } from "./target.js";

/** @returns bytes copied; @throws as GuestMemory.read */
export function readBlock(access: GuestAccess, gpa: number, target: Uint8Array): number {
  const bytes = target.length;
  const between = access.target.host.mayHold(target) ? new Uint8Array(bytes) : undefined;
  const to = between ?? target;
  const copy: CopyPiece = (run, from, count, done) => to.set(run.bytes.subarray(from, from + count), done);
  return transfer(access, gpa, bytes, READ, copy, (done) => {
    if (between !== undefined) target.set(between.subarray(0, done));
  });
}

/** @returns bytes copied; @throws as GuestMemory.write */
export function writeBlock(access: GuestAccess, gpa: number, source: Uint8Array): number {
  const bytes = source.length;
  const from = access.target.host.mayHold(source) ? source.slice() : source;
  return transfer(access, gpa, bytes, WRITE, (run, at, count, done) => {
    run.bytes.set(count === bytes ? from : from.subarray(done, done + count), at);
  });
}

/** @returns bytes cleared; @throws as GuestMemory.clear */
export function clearBlock(access: GuestAccess, gpa: number, bytes: number): number {
  return transfer(access, gpa, bytes, WRITE, (run, at, count) => {
    run.bytes.fill(0, at, at + count);
  });
}

/** `finish` is called with the number of bytes that are done, while they are still pinned. @returns that number */
function transfer(
  access: GuestAccess,
  address: number,
  bytes: number,
  kind: number,
  copy: CopyPiece,
  finish?: (done: number) => void,
): number {
  const gpa = toGpa(address);
  if (bytes === 0) return 0;
  let done = 0;
  access.begin();
  try {
    done = access.transfer(gpa, bytes, kind, copy);
    finish?.(done);
  } finally {
    access.end();
  }
  access.tell();
  return done;
}

/** The bytes of any typed array or DataView. @throws TypeError naming the argument */
export function bytesOf(value: ArrayBufferView, name: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (!ArrayBuffer.isView(value)) throw new TypeError(`${name} must be a typed array, not ${show(value)}`);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}
