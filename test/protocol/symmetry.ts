/**
 * Readers that do the same are interchangeable, and so are writers: of the states that differ only by who is
 * who, one is enough. Threads are sorted by what they are doing; everything that names a thread or its line
 * is renamed with it.
 */
import type { Configuration } from "./configuration.js";
import type { Machine } from "./machine.js";
import type { Reader } from "./reader.js";
import type { Reaper } from "./reaper.js";
import type { Thread } from "./thread.js";
import type { Writer } from "./writer.js";

function swapBits(set: number, a: number, b: number): number {
  const differ = ((set >> a) ^ (set >> b)) & 1;
  return set ^ ((differ << a) | (differ << b));
}

/** `value` with the names a and b exchanged. */
function swapNames(value: number, a: number, b: number): number {
  if (value === a) return b;
  return value === b ? a : value;
}

export class Symmetry {
  readonly #bytes: Uint8Array;
  readonly #machine: Machine;
  readonly #readers: readonly Reader[];
  readonly #alike: readonly Writer[];
  readonly #writers: readonly Writer[];
  readonly #reapers: readonly Reaper[];

  constructor(
    configuration: Configuration,
    machine: Machine,
    readers: readonly Reader[],
    writers: readonly Writer[],
    reapers: readonly Reaper[],
  ) {
    this.#machine = machine;
    this.#bytes = machine.bytes;
    // A store under way names a line by its address; where there are store buffers, all states are kept
    // apart.
    this.#readers = configuration.buffers || configuration.oneShot ? [] : readers;
    const [first, ...rest] = configuration.writers.map((operations) => operations.join());
    const areAlike =
      !configuration.ownSection && !configuration.buffers && rest.every((operations) => operations === first);
    this.#alike = areAlike ? writers.slice(0, configuration.writers.length) : [];
    this.#writers = writers;
    this.#reapers = reapers;
  }

  canonicalise(): void {
    this.#sort(this.#readers);
    this.#sort(this.#alike);
  }

  #sort(threads: readonly Thread[]): void {
    for (let end = threads.length - 1; end > 0; end--) {
      for (let i = 0; i < end; i++) {
        if (this.#compare(threads[i]!, threads[i + 1]!) > 0) this.#swap(threads[i]!, threads[i + 1]!);
      }
    }
  }

  #compare(a: Thread, b: Thread): number {
    for (let i = 0; i < a.bytes; i++) {
      const difference = this.#bytes[a.base + i]! - this.#bytes[b.base + i]!;
      if (difference !== 0) return difference;
    }
    return a.kind === "reader" && !(a as Reader).claims
      ? this.#machine.pin(a.index) - this.#machine.pin(b.index)
      : 0;
  }

  #swap(a: Thread, b: Thread): void {
    for (let i = 0; i < a.bytes; i++) this.#swapWords(a.base + i, b.base + i);
    if (a.kind === "reader" && !(a as Reader).claims) this.#swapLines(a.index, b.index);
    const machine = this.#machine;
    for (let line = 0; line < machine.lines; line++) this.#rename(machine.ownerWord(line), a.token, b.token);
    this.#rename(machine.lockWord, a.token, b.token);
    this.#rename(machine.gateOwnerWord, a.token, b.token);
    for (const writer of this.#writers) writer.holder = swapNames(writer.holder, a.token, b.token);
    for (const reaper of this.#reapers) {
      reaper.target = swapNames(reaper.target, a.token, b.token);
      reaper.done = swapBits(reaper.done, a.index, b.index);
    }
  }

  /** Lines go with the readers that own them for ever. */
  #swapLines(a: number, b: number): void {
    const machine = this.#machine;
    this.#swapWords(machine.pinWord(a), machine.pinWord(b));
    this.#swapWords(machine.ownerWord(a), machine.ownerWord(b));
    for (const writer of this.#writers) {
      writer.looked = swapBits(writer.looked, a, b);
      writer.sleepsAt = swapNames(writer.sleepsAt, a + 1, b + 1);
    }
    for (const reader of this.#readers) reader.looked = swapBits(reader.looked, a, b);
    for (const reaper of this.#reapers) if (reaper.target !== 0) reaper.line = swapNames(reaper.line, a, b);
  }

  #swapWords(a: number, b: number): void {
    const bytes = this.#bytes;
    const kept = bytes[a]!;
    bytes[a] = bytes[b]!;
    bytes[b] = kept;
  }

  #rename(word: number, a: number, b: number): void {
    this.#bytes[word] = swapNames(this.#bytes[word]!, a, b);
  }
}
