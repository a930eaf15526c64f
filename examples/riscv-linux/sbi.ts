/**
 * The machine's side of SBI 2.0: base, IPI, RFENCE, HSM, SRST, DBCN. TIME is in the interpreter, and harts have Sstc
 * anyway.
 */
import { type GuestMemory, KvmError } from "memslots";
import type { Devices } from "./devices.js";
import type { HartExports } from "./exports.js";
import { HSM, POWER, type Shared, WORD } from "./shared.js";

const BASE = 0x10;
const TIME = 0x54494d45;
const IPI = 0x735049;
const RFENCE = 0x52464e43;
const HARTS = 0x48534d;
const RESET = 0x53525354;
const CONSOLE = 0x4442434e;
const EXTENSIONS = [BASE, TIME, IPI, RFENCE, HARTS, RESET, CONSOLE];

const SUCCESS = 0;
const FAILED = -1;
const NOT_SUPPORTED = -2;
const INVALID_PARAMETER = -3;
const ALREADY_AVAILABLE = -6;

const VERSION = 0x0200_0000;
/** Nobody's number: the registry of implementations does not have this one. */
const IMPLEMENTATION = 0x6d656d;

/** SSIP of mip. */
const SOFTWARE = 1 << 1;
/** A hart that is asked for a fence is looked at so often, ms. */
const FENCE_MS = 0.05;
const FENCE_SPINS = 2000;

const A0 = 10;
const A6 = 16;
const A7 = 17;

export interface SbiPlace {
  readonly memory: WebAssembly.Memory;
  readonly hart: number;
  /** Addresses of the harts' states. */
  readonly states: readonly number[];
}

/** The console, and the memory that calls name. */
export interface SbiConsole {
  readonly devices: Pick<Devices, "read" | "write">;
  readonly guest: GuestMemory;
}

/** A call of the console may do less than it was asked for. */
const CONSOLE_BYTES = 4096;

export class Sbi {
  readonly #exports: HartExports;
  readonly #shared: Shared;
  readonly #place: SbiPlace;
  readonly #console: SbiConsole;
  readonly #words: Int32Array;

  constructor(exports: HartExports, shared: Shared, place: SbiPlace, output: SbiConsole) {
    this.#exports = exports;
    this.#shared = shared;
    this.#place = place;
    this.#console = output;
    this.#words = new Int32Array(place.memory.buffer);
  }

  get #state(): number {
    return this.#place.states[this.#place.hart]!;
  }

  #argument(index: number): number {
    return Number(BigInt.asUintN(64, this.#exports.getRegister(this.#state, A0 + index)));
  }

  /** Answer the call that the hart has just left for. */
  call(): void {
    const extension = this.#argument(A7 - A0);
    const [error, value] = this.#dispatch(extension, this.#argument(A6 - A0));
    this.#exports.answer(this.#state, error, value);
  }

  #dispatch(extension: number, call: number): readonly [number, number] {
    switch (extension) {
      case BASE:
        return this.#base(call);
      case IPI:
        return call === 0 ? this.#sendIpi() : [NOT_SUPPORTED, 0];
      case RFENCE:
        return this.#fence(call);
      case HARTS:
        return this.#harts(call);
      case RESET:
        return call === 0 ? this.#reset() : [NOT_SUPPORTED, 0];
      case CONSOLE:
        return this.#debugConsole(call);
      default:
        return [NOT_SUPPORTED, 0];
    }
  }

  #base(call: number): readonly [number, number] {
    const values = [VERSION, IMPLEMENTATION, 1, Number(EXTENSIONS.includes(this.#argument(0))), 0, 0, 0];
    const value = values[call];
    return value === undefined ? [NOT_SUPPORTED, 0] : [SUCCESS, value];
  }

  /** Harts of a mask and its base, undefined if one of them is not there. */
  #masked(): number[] | undefined {
    const count = this.#place.states.length;
    const base = this.#argument(1);
    if (base === 2 ** 64) return [...this.#place.states.keys()];
    const mask = BigInt.asUintN(64, this.#exports.getRegister(this.#state, A0));
    const harts: number[] = [];
    for (let i = 0; mask >> BigInt(i) !== 0n; i++) {
      if (((mask >> BigInt(i)) & 1n) === 0n) continue;
      if (base + i >= count) return undefined;
      harts.push(base + i);
    }
    return harts;
  }

  #sendIpi(): readonly [number, number] {
    const harts = this.#masked();
    if (harts === undefined) return [INVALID_PARAMETER, 0];
    for (const hart of harts) {
      const mip = this.#exports.mipAddress(this.#place.states[hart]!) >>> 2;
      Atomics.or(this.#words, mip, SOFTWARE);
      Atomics.notify(this.#words, mip);
    }
    return [SUCCESS, 0];
  }

  /** FENCE.I needs nothing of a hart that fetches from memory; all forms of SFENCE.VMA empty its tables. */
  #fence(call: number): readonly [number, number] {
    if (call > 2) return [NOT_SUPPORTED, 0];
    const harts = this.#masked();
    if (harts === undefined) return [INVALID_PARAMETER, 0];
    if (call === 0) return [SUCCESS, 0];
    if (harts.includes(this.#place.hart)) this.#exports.flush(this.#state);
    const others = harts.filter((hart) => hart !== this.#place.hart);
    const idle = this.#exports.idleAddress(this.#state) >>> 2;
    // While it waits the hart executes nothing, so that nobody has to wait for it.
    Atomics.store(this.#words, idle, 1);
    const wanted = others.map((hart) => {
      const word = this.#exports.fencesWantedAddress(this.#place.states[hart]!) >>> 2;
      return (Atomics.add(this.#words, word, 1) + 1) | 0;
    });
    for (const [i, hart] of others.entries()) this.#awaitFence(this.#place.states[hart]!, wanted[i]!);
    Atomics.store(this.#words, idle, 0);
    return [SUCCESS, 0];
  }

  /** Until a hart has made so many fences, or executes nothing: it makes them before it goes on. */
  #awaitFence(state: number, wanted: number): void {
    const done = this.#exports.fencesDoneAddress(state) >>> 2;
    const idle = this.#exports.idleAddress(state) >>> 2;
    for (let spins = 0; ; spins++) {
      if (Atomics.load(this.#words, idle) === 1) return;
      const made = Atomics.load(this.#words, done);
      if (((made - wanted) | 0) >= 0) return;
      if (spins > FENCE_SPINS) Atomics.wait(this.#words, done, made, FENCE_MS);
    }
  }

  #harts(call: number): readonly [number, number] {
    const { words } = this.#shared;
    if (call === 1) {
      // The thread looks at this word before the hart executes anything else.
      Atomics.store(words, WORD.hart + this.#place.hart, HSM.stopped);
      return [SUCCESS, 0];
    }
    const hart = this.#argument(0);
    if (call !== 0 && call !== 2) return [NOT_SUPPORTED, 0];
    if (hart >= this.#place.states.length) return [INVALID_PARAMETER, 0];
    const word = WORD.hart + hart;
    if (call === 2) return [SUCCESS, Atomics.load(words, word)];
    if (Atomics.load(words, word) !== HSM.stopped) return [ALREADY_AVAILABLE, 0];
    Atomics.store(words, WORD.startAt + hart, this.#argument(1) | 0);
    Atomics.store(words, WORD.startOpaque + hart, this.#argument(2) | 0);
    Atomics.store(words, word, HSM.startPending);
    Atomics.notify(words, word);
    return [SUCCESS, 0];
  }

  #reset(): readonly [number, number] {
    const power = this.#argument(0) === 0 ? POWER.off : POWER.reset;
    this.#shared.store(WORD.power, power);
    return [SUCCESS, 0];
  }

  /** Write or read bytes at a physical address, or write one byte. */
  #debugConsole(call: number): readonly [number, number] {
    const { devices, guest } = this.#console;
    if (call === 2) {
      return [devices.write(Uint8Array.of(this.#argument(0) & 0xff)) === 1 ? SUCCESS : FAILED, 0];
    }
    if (call > 2) return [NOT_SUPPORTED, 0];
    const [bytes, gpa, high] = [this.#argument(0), this.#argument(1), this.#argument(2)];
    if (high !== 0 || !Number.isSafeInteger(gpa + bytes)) return [INVALID_PARAMETER, 0];
    const count = Math.min(bytes, CONSOLE_BYTES);
    try {
      if (call === 0) {
        const text = new Uint8Array(count);
        guest.read(gpa, text);
        return [SUCCESS, devices.write(text)];
      }
      const typed = devices.read(count);
      guest.write(gpa, typed);
      return [SUCCESS, typed.length];
    } catch (error) {
      // No memory is there.
      if (error instanceof KvmError) return [INVALID_PARAMETER, 0];
      throw error;
    }
  }
}
