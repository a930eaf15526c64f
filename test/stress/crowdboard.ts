/** What the vCPUs of a crowd and their writer share: a line of 128 bytes for each vCPU behind one for all. */
import type { EngineHandle } from "memslots";

export const PAGE = 4096;
export const PAGES = 64;
/** Page n of the guest is here, whatever slot it is in. */
export const HOST = 0x100000;
export const CROWD_BYTES = 128;

const LINE = CROWD_BYTES / 4;
const GO = 0;
const STOP = 1;
const SECTIONS = 0;
const WRONG = 1;
const GAP_US = 2;

export interface CrowdTask {
  readonly handle: EngineHandle;
  readonly board: SharedArrayBuffer;
  readonly vcpus: number;
  readonly number: number;
}

export class CrowdBoard {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #lines: readonly number[];

  constructor(buffer: SharedArrayBuffer, vcpus: number) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#lines = Array.from({ length: vcpus }, (_, vcpu) => (vcpu + 1) * LINE);
  }

  start(): void {
    Atomics.store(this.#words, GO, 1);
    Atomics.notify(this.#words, GO);
  }

  awaitStart(): void {
    Atomics.wait(this.#words, GO, 0);
  }

  stop(): void {
    Atomics.store(this.#words, STOP, 1);
    this.start();
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, STOP) !== 0;
  }

  /** A vCPU has ended a section, `gap` milliseconds after the last one, with so many wrong answers. */
  note(vcpu: number, gap: number, wrong: number): void {
    const line = this.#lines[vcpu]!;
    Atomics.add(this.#words, line + SECTIONS, 1);
    if (wrong > 0) Atomics.add(this.#words, line + WRONG, wrong);
    const us = Math.round(gap * 1000);
    if (us > Atomics.load(this.#words, line + GAP_US)) Atomics.store(this.#words, line + GAP_US, us);
  }

  #each(word: number): number[] {
    return this.#lines.map((line) => Atomics.load(this.#words, line + word));
  }

  get slowest(): number {
    return Math.min(...this.#each(SECTIONS));
  }

  get fastest(): number {
    return Math.max(...this.#each(SECTIONS));
  }

  get wrong(): number {
    return this.#each(WRONG).reduce((sum, n) => sum + n, 0);
  }

  /** Milliseconds. */
  get longestGap(): number {
    return Math.max(...this.#each(GAP_US)) / 1000;
  }
}
