/**
 * The host side of guest memory: which JavaScript buffer stands for which host addresses (userspaceAddr), and
 * views of it that are never stale.
 *
 * Invariants
 *  - Ranges do not overlap; one that grows ends where the next one begins.
 *  - A view is looked at (its length) before each use: a memory that grew leaves old views short (shared) or
 *    empty (unshared).
 */
import { show } from "./region.js";

/** Memory of the host: what a WebAssembly.Memory grows by belongs to it. */
export type HostMemory = ArrayBuffer | SharedArrayBuffer | WebAssembly.Memory;

/** A memory and the host address that its first byte stands for. */
export interface HostRange {
  /** The bytes. */
  readonly memory: HostMemory;
  /** Host address of its first byte, a multiple of 8: what is aligned for the guest is aligned in the buffer. */
  readonly hostAddr: number;
}

/** Atomic operations need host and guest aligned alike. */
const HOST_ALIGN = 8;

function isBuffer(value: unknown): value is ArrayBuffer | SharedArrayBuffer {
  const name = Object.prototype.toString.call(value);
  return name === "[object ArrayBuffer]" || name === "[object SharedArrayBuffer]";
}

/** One range. */
class HostView {
  readonly start: number;
  /** First host address of the next range. */
  end = Number.POSITIVE_INFINITY;
  readonly #memory: HostMemory;
  #bytes: Uint8Array;

  constructor(memory: HostMemory, start: number) {
    this.#memory = memory;
    this.start = start;
    this.#bytes = this.#derive();
  }

  #derive(): Uint8Array {
    const memory = this.#memory;
    const buffer = memory instanceof WebAssembly.Memory ? memory.buffer : memory;
    return new Uint8Array(buffer, 0, buffer.byteLength);
  }

  /** All bytes, at least `need` if there are so many by now. */
  bytes(need: number): Uint8Array {
    if (this.#bytes.length >= need) return this.#bytes;
    this.#bytes = this.#derive();
    const memory = this.#memory;
    if (this.#bytes.length < need && memory instanceof WebAssembly.Memory && !isArrayBuffer(memory.buffer)) {
      // News of a growth in another thread may not be here yet; growing by nothing fetches it.
      memory.grow(0);
      this.#bytes = this.#derive();
    }
    return this.#bytes;
  }
}

function isArrayBuffer(buffer: unknown): boolean {
  return Object.prototype.toString.call(buffer) === "[object ArrayBuffer]";
}

function checkRange(range: HostRange, name: string): HostView {
  if (typeof range !== "object" || range === null) {
    throw new TypeError(`${name} must be an object, not ${show(range)}`);
  }
  const { memory, hostAddr } = range;
  if (!isBuffer(memory) && !(memory instanceof WebAssembly.Memory)) {
    throw new TypeError(
      `${name}.memory must be an ArrayBuffer, a SharedArrayBuffer or a WebAssembly.Memory, not ${show(memory)}`,
    );
  }
  if (!Number.isSafeInteger(hostAddr) || hostAddr < 0 || hostAddr % HOST_ALIGN !== 0) {
    throw new TypeError(
      `${name}.hostAddr must be a multiple of ${HOST_ALIGN} from 0 to 2^53 - 1, not ${show(hostAddr)}`,
    );
  }
  return new HostView(memory, hostAddr);
}

/** All ranges of a guest memory. */
export class HostMemories {
  /** Descending by address. */
  readonly #views: readonly HostView[];

  /**
   * @param host one memory whose byte 0 is host address 0, or several with their addresses
   * @throws TypeError naming the field; RangeError if two ranges overlap
   */
  constructor(host: HostMemory | readonly HostRange[]) {
    const ranges = Array.isArray(host)
      ? host.map((range: HostRange, i) => checkRange(range, `host[${i}]`))
      : [checkRange({ memory: host as HostMemory, hostAddr: 0 }, "host")];
    ranges.sort((a, b) => b.start - a.start);
    for (const [i, view] of ranges.entries()) {
      const next = ranges[i - 1];
      if (next === undefined) continue;
      view.end = next.start;
      if (view.start + view.bytes(0).length > next.start) {
        throw new RangeError(`the host ranges at ${view.start} and ${next.start} overlap`);
      }
    }
    this.#views = ranges;
  }

  /**
   * The bytes that stand for those of host addresses [start, end) around `hva` that exist in one memory, from
   * where they begin; empty if there is none at `hva`.
   */
  around(hva: number, start: number, end: number): { hva: number; bytes: Uint8Array } {
    for (const view of this.#views) {
      if (view.start > hva) continue;
      const from = Math.max(start, view.start);
      const to = Math.min(end, view.end) - view.start;
      const bytes = view.bytes(to);
      return { hva: from, bytes: bytes.subarray(from - view.start, Math.min(to, bytes.length)) };
    }
    return { hva, bytes: new Uint8Array(0) };
  }
}
