/** The memory that an interpreter has without slots: one array, whose index is the address. */
import type { Memory } from "./rv32i.js";

export class FlatMemory implements Memory {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  fetchUint32(at: number, littleEndian: boolean): number {
    return this.#view.getUint32(at, littleEndian);
  }

  getInt8(at: number): number {
    return this.#view.getInt8(at);
  }

  getInt16(at: number, littleEndian: boolean): number {
    return this.#view.getInt16(at, littleEndian);
  }

  getInt32(at: number, littleEndian: boolean): number {
    return this.#view.getInt32(at, littleEndian);
  }

  getUint8(at: number): number {
    return this.#view.getUint8(at);
  }

  getUint16(at: number, littleEndian: boolean): number {
    return this.#view.getUint16(at, littleEndian);
  }

  setUint8(at: number, value: number): void {
    this.#view.setUint8(at, value);
  }

  setUint16(at: number, value: number, littleEndian: boolean): void {
    this.#view.setUint16(at, value, littleEndian);
  }

  setUint32(at: number, value: number, littleEndian: boolean): void {
    this.#view.setUint32(at, value, littleEndian);
  }
}
