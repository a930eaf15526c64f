/**
 * UART, software interrupts, and the device that a guest ends with, as one hart's thread has them. Timers are the
 * harts' own.
 */
import type { Device } from "./bus.js";
import { FINISHER, SETSSIP, UART } from "./map.js";

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

/** SSIP of mip. */
const SOFTWARE = 1 << 1;

/** Software interrupts between harts. `mips`: address of mip of each hart. */
export function createInterrupter(memory: WebAssembly.Memory, mips: readonly number[]): Device {
  const words = new Int32Array(memory.buffer);
  return {
    base: SETSSIP,
    bytes: mips.length * 4,
    load: () => 0,
    store(offset, _bytes, value) {
      const word = mips[offset >> 2]! / 4;
      if ((value & 1) === 0) return;
      Atomics.or(words, word, SOFTWARE);
      Atomics.notify(words, word);
    },
  };
}
