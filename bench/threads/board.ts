/**
 * Board: the words through which the measuring thread and its readers communicate, 32 bits each in the arena's memory.
 * Each reader has two cache lines, one per direction.
 */

/** Mode of a reader: sleep, look up in a section each, look up under the lock, end. */
export const IDLE = 0;
export const SECTIONS = 1;
export const LOCKED = 2;
export const QUIT = 3;

export type Mode = typeof IDLE | typeof SECTIONS | typeof LOCKED | typeof QUIT;

const LINE_WORDS = 16;
/** Words of a reader, as indexes from its first: mode; chunks done; wrong sums. */
const MODE = 0;
const CHUNKS = LINE_WORDS;
const WRONG = LINE_WORDS + 1;
const READER_WORDS = 2 * LINE_WORDS;

/** Bytes of a board. */
export function boardBytes(readers: number): number {
  return readers * READER_WORDS * 4;
}

export class Board {
  readonly #words: Int32Array;

  constructor(buffer: ArrayBufferLike, address: number, readers: number) {
    this.#words = new Int32Array(buffer, address, readers * READER_WORDS);
  }

  setMode(reader: number, mode: Mode): void {
    const at = reader * READER_WORDS + MODE;
    Atomics.store(this.#words, at, mode);
    Atomics.notify(this.#words, at);
  }

  /** The reader's side: its mode, once it is not IDLE. */
  awaitMode(reader: number): Mode {
    const at = reader * READER_WORDS + MODE;
    let mode = Atomics.load(this.#words, at);
    while (mode === IDLE) {
      Atomics.wait(this.#words, at, IDLE);
      mode = Atomics.load(this.#words, at);
    }
    return mode as Mode;
  }

  countChunk(reader: number, right: boolean): void {
    if (!right) Atomics.add(this.#words, reader * READER_WORDS + WRONG, 1);
    Atomics.add(this.#words, reader * READER_WORDS + CHUNKS, 1);
    Atomics.notify(this.#words, reader * READER_WORDS + CHUNKS);
  }

  chunks(reader: number): number {
    return Atomics.load(this.#words, reader * READER_WORDS + CHUNKS);
  }

  wrong(reader: number): number {
    return Atomics.load(this.#words, reader * READER_WORDS + WRONG);
  }

  /** Sleep until the reader has done more than `chunks` chunks. @throws Error after `ms` */
  awaitChunk(reader: number, chunks: number, ms: number): void {
    const at = reader * READER_WORDS + CHUNKS;
    while (this.chunks(reader) === chunks) {
      if (Atomics.wait(this.#words, at, chunks, ms) === "timed-out")
        throw new Error(`reader ${reader} does nothing for ${ms} ms`);
    }
  }
}
