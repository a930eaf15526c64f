/**
 * Typed views of a memory that may grow. Each access names the address that it needs, so no view is used beyond its
 * buffer: an address that lies there is damage.
 */
import { damaged } from "./damage.js";

export class MemoryViews {
  readonly #memory: WebAssembly.Memory;
  #u8: Uint8Array;
  #u32: Uint32Array;
  #f64: Float64Array;

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
    this.#u8 = new Uint8Array(memory.buffer);
    this.#u32 = new Uint32Array(memory.buffer);
    this.#f64 = new Float64Array(memory.buffer);
  }

  /**
   * Renew the views if they end before `end`: growth leaves old views short (shared) or empty (unshared).
   * @throws KvmError EIO if the memory ends there too
   */
  #cover(end: number): void {
    if (end <= this.#u8.length) return;
    this.#u8 = new Uint8Array(this.#memory.buffer);
    this.#u32 = new Uint32Array(this.#memory.buffer);
    this.#f64 = new Float64Array(this.#memory.buffer);
    if (!(end <= this.#u8.length))
      throw damaged("read", `an address leads to byte ${end} of ${this.#u8.length}`);
  }

  /** Bytes up to address `end`. */
  bytes(end: number): Uint8Array {
    this.#cover(end);
    return this.#u8;
  }

  /** 32-bit words up to address `end`; index = address / 4. */
  words(end: number): Uint32Array {
    this.#cover(end);
    return this.#u32;
  }

  /** 64-bit floats up to address `end`; index = address / 8. */
  doubles(end: number): Float64Array {
    this.#cover(end);
    return this.#f64;
  }
}
