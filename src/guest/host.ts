/**
 * The host side of guest memory: which JavaScript buffer stands for which host addresses (userspaceAddr), and
 * views of it that are never stale.
 *
 * Invariants
 *  - Ranges do not overlap; one that grows ends where the next one begins.
 *  - A view is looked at (its length) before each use: a memory that grew leaves old views short (shared) or
 *    empty (unshared).
 */
import { show, toAddress } from "../kvm/arguments.js";
import type { WasmMemory } from "../runtime/wasmtypes.js";

/**
 * Memory of the host: what a WebAssembly.Memory grows by belongs to it. Of a typed array, a DataView or a Buffer only
 * its own bytes.
 */
export type HostMemory = ArrayBufferLike | ArrayBufferView | WasmMemory;

/** A memory and the host address that its first byte stands for. */
export interface HostRange {
  /** The bytes. */
  readonly memory: HostMemory;
  /** Host address of its first byte. Atomic operations need their bytes to be aligned in the buffer as well. */
  readonly hostAddr: number;
}

function isBuffer(value: unknown): value is ArrayBuffer | SharedArrayBuffer {
  const name = Object.prototype.toString.call(value);
  return name === "[object ArrayBuffer]" || name === "[object SharedArrayBuffer]";
}

const NO_BYTES = /* @__PURE__ */ new Uint8Array(0);

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
    // One that is detached, or out of the bounds of its buffer, has no bytes by now.
    if (ArrayBuffer.isView(memory)) {
      const bytes = memory.buffer.byteLength === 0 ? 0 : memory.byteLength;
      return bytes === 0 ? NO_BYTES : new Uint8Array(memory.buffer, memory.byteOffset, bytes);
    }
    const buffer = bufferOf(memory);
    // A detached buffer has no bytes, and no array can be made of it.
    return buffer.byteLength === 0 ? NO_BYTES : new Uint8Array(buffer, 0, buffer.byteLength);
  }

  /** True if an array over `buffer` may have bytes of this range. Shared memory has several buffers once it grew. */
  mayHold(buffer: ArrayBufferLike): boolean {
    const memory = this.#memory;
    const own = ArrayBuffer.isView(memory) ? memory.buffer : bufferOf(memory);
    return own === buffer || !(isArrayBuffer(own) || isArrayBuffer(buffer));
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

function bufferOf(memory: ArrayBufferLike | WebAssembly.Memory): ArrayBufferLike {
  return memory instanceof WebAssembly.Memory ? memory.buffer : memory;
}

function isArrayBuffer(buffer: unknown): boolean {
  return Object.prototype.toString.call(buffer) === "[object ArrayBuffer]";
}

function checkRange(range: HostRange, name: string): HostView {
  if (typeof range !== "object" || range === null) {
    throw new TypeError(`${name} must be an object, not ${show(range)}`);
  }
  const { memory, hostAddr } = range;
  if (!isBuffer(memory) && !ArrayBuffer.isView(memory) && !(memory instanceof WebAssembly.Memory)) {
    const kinds = "an ArrayBuffer, a SharedArrayBuffer, a typed array or a WebAssembly.Memory";
    throw new TypeError(`${name}.memory must be ${kinds}, not ${show(memory)}`);
  }
  toAddress(hostAddr, `${name}.hostAddr`);
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

  /** True if bytes of the array may be bytes of these memories. */
  mayHold({ buffer }: Uint8Array): boolean {
    return this.#views.some((view) => view.mayHold(buffer));
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
