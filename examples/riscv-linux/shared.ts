/**
 * What harts and the machine's thread share of the devices, in linear memory: words of an Int32Array, one after the
 * other, and the two rings of the console behind them.
 */
export const SHARED_WORDS = 256;
export const INPUT_BYTES = 1 << 12;
export const OUTPUT_BYTES = 1 << 20;
export const SHARED_BYTES = SHARED_WORDS * 4 + INPUT_BYTES + OUTPUT_BYTES;

export const HARTS_MAX = 8;

/** Places of the words; those of harts are HARTS_MAX each. */
export const WORD = {
  lock: 0,
  /** 1 while the machine's thread has been told of output. */
  told: 1,
  /** POWER. */
  power: 2,
  inputHead: 3,
  inputTail: 4,
  outputHead: 5,
  outputTail: 6,
  interruptEnable: 7,
  lineControl: 8,
  modemControl: 9,
  scratch: 10,
  divisor: 11,
  fifoControl: 12,
  /** 1: the transmitter has become empty, and nobody has been told. */
  transmitted: 13,
  priority: 14,
  pending: 15,
  claimed: 16,
  /** HSM of each hart. */
  hart: 32,
  startAt: 40,
  startOpaque: 48,
  enabled: 56,
  threshold: 64,
} as const;

export const POWER = { on: 0, off: 1, reset: 2 } as const;

/** States of SBI's HSM. */
export const HSM = { started: 0, stopped: 1, startPending: 2 } as const;

/** The words and rings at `address`, as one thread sees them. */
export class Shared {
  readonly words: Int32Array;
  readonly input: Uint8Array;
  readonly output: Uint8Array;

  constructor(memory: WebAssembly.Memory, address: number) {
    this.words = new Int32Array(memory.buffer, address, SHARED_WORDS);
    this.input = new Uint8Array(memory.buffer, address + SHARED_WORDS * 4, INPUT_BYTES);
    this.output = new Uint8Array(memory.buffer, address + SHARED_WORDS * 4 + INPUT_BYTES, OUTPUT_BYTES);
  }

  load(word: number): number {
    return Atomics.load(this.words, word);
  }

  store(word: number, value: number): void {
    Atomics.store(this.words, word, value);
  }

  /** Run `change` while no other thread does. It is short: a page's own thread may not sleep, and spins. */
  locked<T>(change: () => T): T {
    while (Atomics.compareExchange(this.words, WORD.lock, 0, 1) !== 0);
    try {
      return change();
    } finally {
      Atomics.store(this.words, WORD.lock, 0);
    }
  }
}
