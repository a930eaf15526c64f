/**
 * Codec of a saved machine:
 *
 *   magic u32 | version u32 | bytes of the map u32 | of host memory u32 | of v86's state u32 | the three parts
 *
 * Little-endian; each part begins at a multiple of 8. The map is JSON. v86's state is the result of its save_state.
 */
import type { Slot } from "../kvm/region.js";
import type { MmioWindow } from "../kvm/window.js";
import type { PciFunctionState } from "./pcifunction.js";
import type { OwnRange } from "./reach.js";

/** "MS86" */
const MAGIC = 0x3638534d;
/** Incremented with every change of the format. */
const VERSION = 1;
const HEADER_BYTES = 24;
const ALIGN = 8;

/** The saved state of a map, without its memory. Plain data. */
export interface MapState {
  readonly own: readonly OwnRange[];
  readonly slots: readonly Slot[];
  readonly windows: readonly MmioWindow[];
  readonly pci: {
    readonly address: number;
    readonly devices: readonly ({ readonly bdf: number } & PciFunctionState)[];
  };
}

/** The parts of a saved machine. */
export interface SavedMachine {
  readonly state: MapState;
  readonly memory: Uint8Array;
  readonly v86: ArrayBuffer;
}

export function encodeState(state: MapState, memory: Uint8Array, v86: ArrayBuffer): ArrayBuffer {
  const parts = [new TextEncoder().encode(JSON.stringify(state)), memory, new Uint8Array(v86)];
  const bytes = parts.reduce((sum, part) => sum + aligned(part.length), HEADER_BYTES);
  const saved = new Uint8Array(bytes);
  const header = new DataView(saved.buffer);
  const words = [MAGIC, VERSION, ...parts.map((part) => part.length)];
  for (const [i, word] of words.entries()) header.setUint32(4 * i, word, true);
  let at = HEADER_BYTES;
  for (const part of parts) {
    saved.set(part, at);
    at += aligned(part.length);
  }
  return saved.buffer;
}

/** @throws Error for bytes that are no saved machine, or one of another version */
export function decodeState(saved: ArrayBuffer): SavedMachine {
  if (!(saved instanceof ArrayBuffer) || saved.byteLength < HEADER_BYTES) {
    throw new Error("not a saved machine: it must be an ArrayBuffer from save");
  }
  const header = new DataView(saved);
  const word = (i: number) => header.getUint32(4 * i, true);
  if (word(0) !== MAGIC) throw new Error(`not a saved machine: magic 0x${word(0).toString(16)}`);
  if (word(1) !== VERSION) throw new Error(`saved machine of version ${word(1)}, not ${VERSION}`);
  const parts: Uint8Array[] = [];
  let at = HEADER_BYTES;
  for (const length of [word(2), word(3), word(4)]) {
    if (at + length > saved.byteLength) throw new Error(`saved machine cut off at ${saved.byteLength} bytes`);
    parts.push(new Uint8Array(saved, at, length));
    at += aligned(length);
  }
  const [map, memory, v86] = parts as [Uint8Array, Uint8Array, Uint8Array];
  return {
    state: JSON.parse(new TextDecoder().decode(map)) as MapState,
    memory,
    v86: saved.slice(v86.byteOffset, v86.byteOffset + v86.length),
  };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}
