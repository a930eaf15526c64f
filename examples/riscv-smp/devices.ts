/**
 * UART, CLINT, and the device that a guest ends with, as one hart's thread has them. What harts share of them
 * is in linear memory.
 */
import type { Device } from "./bus.js";
import { CLINT, CLINT_BYTES, FINISHER, MSIP, MTIME, MTIMECMP, TICKS_PER_MS, UART } from "./map.js";

/** The transmitter of a 16550: what is written to register 0 is out at once. */
export function createUart(write: (line: string) => void): Device {
  const LINE_STATUS = 5;
  const TRANSMITTER_EMPTY = 0x60;
  let line = "";
  return {
    base: UART,
    bytes: 8,
    load: (offset) => (offset === LINE_STATUS ? TRANSMITTER_EMPTY : 0),
    store(offset, _bytes, value) {
      if (offset !== 0) return;
      const character = String.fromCharCode(value & 0xff);
      if (character !== "\n") line += character;
      else {
        write(line);
        line = "";
      }
    },
  };
}

/** SiFive's test finisher: 0x5555 passes, 0x3333 fails with the code in the upper half. Per hart here. */
export function createFinisher(finish: (code: number) => void): Device {
  const PASS = 0x5555;
  const FAIL = 0x3333;
  return {
    base: FINISHER,
    bytes: 4,
    load: () => 0,
    store(_offset, _bytes, value) {
      if ((value & 0xffff) === PASS) finish(0);
      else if ((value & 0xffff) === FAIL) finish(value >>> 16 || 1);
    },
  };
}

/** Bit of MSIP, and of MTIP, in mip. */
const MSIP_BIT = 1 << 3;
const MTIP_BIT = 1 << 7;

export interface ClintTarget {
  readonly memory: WebAssembly.Memory;
  /** Address of mip of each hart. */
  readonly mips: readonly number[];
  /** Address of mtimecmp of each hart. */
  readonly compares: readonly number[];
  /** Number of the hart whose thread this is. */
  readonly hart: number;
  /** Milliseconds of the clock that mtime counts from. */
  readonly start: number;
}

/** The clock of all threads. */
export function clockMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Core-local interruptor: software interrupts between harts, and the timer. */
export class Clint implements Device {
  readonly base = CLINT;
  readonly bytes = CLINT_BYTES;
  readonly #target: ClintTarget;
  readonly #words: Int32Array;
  readonly #quads: BigUint64Array;

  constructor(target: ClintTarget) {
    this.#target = target;
    this.#words = new Int32Array(target.memory.buffer);
    this.#quads = new BigUint64Array(target.memory.buffer);
  }

  #mtime(): bigint {
    return BigInt(Math.floor((clockMs() - this.#target.start) * TICKS_PER_MS));
  }

  /** The hart's own mtimecmp less mtime, in milliseconds; 0 if the time is over. */
  #msLeft(): number {
    const { compares, hart } = this.#target;
    const left = Atomics.load(this.#quads, compares[hart]! / 8) - this.#mtime();
    return left <= 0n ? 0 : Number(left) / TICKS_PER_MS;
  }

  /** Bring the hart's own MTIP up to date. */
  tick(): void {
    const { mips, hart } = this.#target;
    if (this.#msLeft() === 0) Atomics.or(this.#words, mips[hart]! / 4, MTIP_BIT);
    else Atomics.and(this.#words, mips[hart]! / 4, ~MTIP_BIT);
  }

  /** Sleep until an interrupt may be pending, or `ms` are over. */
  wait(ms: number): void {
    const { mips, hart } = this.#target;
    const index = mips[hart]! / 4;
    Atomics.wait(this.#words, index, Atomics.load(this.#words, index), Math.min(ms, this.#msLeft()));
  }

  /** Index of the word of an offset, undefined for what reads as 0. */
  #word(offset: number): number | undefined {
    const { mips, compares } = this.#target;
    const compare = compares[(offset - MTIMECMP) >> 3];
    if (offset >= MTIMECMP && compare !== undefined) return (compare + (offset & 4)) / 4;
    const mip = mips[(offset - MSIP) >> 2];
    return offset < MTIMECMP && mip !== undefined ? mip / 4 : undefined;
  }

  load(offset: number): number {
    if (offset >= MTIME) return Number((this.#mtime() >> (offset & 4 ? 32n : 0n)) & 0xffff_ffffn);
    const word = this.#word(offset);
    if (word === undefined) return 0;
    const value = Atomics.load(this.#words, word);
    return offset < MTIMECMP ? (value & MSIP_BIT ? 1 : 0) : value;
  }

  store(offset: number, _bytes: number, value: number): void {
    const word = this.#word(offset);
    if (word === undefined || offset >= MTIME) return;
    if (offset >= MTIMECMP) {
      Atomics.store(this.#words, word, value);
      this.tick();
    } else if (value & 1) {
      Atomics.or(this.#words, word, MSIP_BIT);
      Atomics.notify(this.#words, word);
    } else Atomics.and(this.#words, word, ~MSIP_BIT);
  }
}
