/**
 * The devices of the machine, as every thread may use them: a 16550 UART and a PLIC with one source. Their state is
 * shared, and changes under one lock.
 */
import { PLIC, PLIC_BYTES, UART, UART_BYTES, UART_IRQ } from "./map.js";
import { INPUT_BYTES, OUTPUT_BYTES, type Shared, WORD } from "./shared.js";

/** SEIP of mip. */
const EXTERNAL = 1 << 9;

/** Registers of the UART. */
const DATA = 0;
const INTERRUPT_ENABLE = 1;
const INTERRUPT_ID = 2;
const LINE_CONTROL = 3;
const MODEM_CONTROL = 4;
const LINE_STATUS = 5;
const MODEM_STATUS = 6;
const SCRATCH = 7;

const ENABLE_RECEIVED = 1;
const ENABLE_TRANSMITTED = 2;
const NO_INTERRUPT = 1;
const ID_TRANSMITTED = 2;
const ID_RECEIVED = 4;
const ID_FIFO = 0xc0;
const FIFO_ENABLE = 1;
const DIVISOR_ACCESS = 0x80;
const DATA_READY = 1;
const TRANSMITTER_EMPTY = 0x60;
/** Carrier, data set ready, clear to send. */
const MODEM_READY = 0xb0;

/** Registers of the PLIC. */
const PRIORITY = UART_IRQ * 4;
const PENDING = 0x1000;
const ENABLED = 0x2000;
const ENABLED_STRIDE = 0x80;
const CONTEXT = 0x20_0000;
const CONTEXT_STRIDE = 0x1000;
const CONTEXT_CLAIM = 4;
const UART_BIT = 1 << UART_IRQ;

export class Devices {
  readonly #shared: Shared;
  /** Over linear memory; place of each hart's mip in it. */
  readonly #memory: Int32Array;
  readonly #mips: readonly number[];
  /** The console has output, and its reader has not been told. */
  readonly #tell: () => void;

  constructor(memory: WebAssembly.Memory, mips: readonly number[], shared: Shared, tell: () => void) {
    this.#shared = shared;
    this.#memory = new Int32Array(memory.buffer);
    this.#mips = mips.map((address) => address >>> 2);
    this.#tell = tell;
  }

  /** Undefined if nothing is there. */
  load(address: number): number | undefined {
    if (address >= UART && address < UART + UART_BYTES) {
      return this.#shared.locked(() => this.#loadUart(address - UART));
    }
    if (address >= PLIC && address < PLIC + PLIC_BYTES) {
      return this.#shared.locked(() => this.#loadPlic(address - PLIC));
    }
    return undefined;
  }

  /** False if nothing is there. */
  store(address: number, value: number): boolean {
    if (address >= UART && address < UART + UART_BYTES) {
      this.#shared.locked(() => this.#storeUart(address - UART, value & 0xff));
      if (address === UART) this.#tellOnce();
      return true;
    }
    if (address >= PLIC && address < PLIC + PLIC_BYTES) {
      this.#shared.locked(() => this.#storePlic(address - PLIC, value));
      return true;
    }
    return false;
  }

  /** Type `bytes`. Returns how many of them found room. */
  type(bytes: Uint8Array): number {
    return this.#shared.locked(() => {
      const { input } = this.#shared;
      let count = 0;
      while (count < bytes.length && this.#used(WORD.inputHead, WORD.inputTail) < INPUT_BYTES) {
        const head = this.#get(WORD.inputHead);
        input[head % INPUT_BYTES] = bytes[count++]!;
        this.#set(WORD.inputHead, (head + 1) | 0);
      }
      this.#update();
      return count;
    });
  }

  /** Write to the console, past the UART. Returns how many of `bytes` found room. */
  write(bytes: Uint8Array): number {
    const count = this.#shared.locked(() => {
      const room = OUTPUT_BYTES - this.#used(WORD.outputHead, WORD.outputTail);
      const taken = bytes.subarray(0, room);
      for (const byte of taken) this.#put(byte);
      return taken.length;
    });
    this.#tellOnce();
    return count;
  }

  /** What was typed, at most so many bytes, past the UART. */
  read(bytes: number): Uint8Array {
    return this.#shared.locked(() => {
      const count = Math.min(bytes, this.#used(WORD.inputHead, WORD.inputTail));
      return Uint8Array.from({ length: count }, () => this.#receive());
    });
  }

  /** What the console has written since. */
  takeOutput(): Uint8Array {
    this.#shared.store(WORD.told, 0);
    return this.#shared.locked(() => {
      const { output } = this.#shared;
      const tail = this.#get(WORD.outputTail);
      const bytes = new Uint8Array(this.#used(WORD.outputHead, WORD.outputTail));
      for (let i = 0; i < bytes.length; i++) bytes[i] = output[((tail + i) >>> 0) % OUTPUT_BYTES]!;
      this.#set(WORD.outputTail, (tail + bytes.length) | 0);
      return bytes;
    });
  }

  #tellOnce(): void {
    if (Atomics.exchange(this.#shared.words, WORD.told, 1) === 0) this.#tell();
  }

  // ---- under the lock ----

  #get(word: number): number {
    return this.#shared.words[word]!;
  }

  #set(word: number, value: number): void {
    this.#shared.words[word] = value;
  }

  #used(head: number, tail: number): number {
    return (this.#get(head) - this.#get(tail)) >>> 0;
  }

  #hasDivisor(): boolean {
    return (this.#get(WORD.lineControl) & DIVISOR_ACCESS) !== 0;
  }

  #loadUart(register: number): number {
    switch (register) {
      case DATA:
        return this.#hasDivisor() ? this.#get(WORD.divisor) & 0xff : this.#receive();
      case INTERRUPT_ENABLE:
        return this.#hasDivisor() ? this.#get(WORD.divisor) >>> 8 : this.#get(WORD.interruptEnable);
      case INTERRUPT_ID:
        return this.#identify();
      case LINE_CONTROL:
        return this.#get(WORD.lineControl);
      case MODEM_CONTROL:
        return this.#get(WORD.modemControl);
      case LINE_STATUS: {
        const ready = this.#used(WORD.inputHead, WORD.inputTail) > 0 ? DATA_READY : 0;
        const isFull = this.#used(WORD.outputHead, WORD.outputTail) >= OUTPUT_BYTES;
        return ready | (isFull ? 0 : TRANSMITTER_EMPTY);
      }
      case MODEM_STATUS:
        return MODEM_READY;
      case SCRATCH:
        return this.#get(WORD.scratch);
      default:
        return 0;
    }
  }

  #receive(): number {
    if (this.#used(WORD.inputHead, WORD.inputTail) === 0) return 0;
    const tail = this.#get(WORD.inputTail);
    this.#set(WORD.inputTail, (tail + 1) | 0);
    this.#update();
    return this.#shared.input[tail % INPUT_BYTES]!;
  }

  #interrupt(): number {
    const enabled = this.#get(WORD.interruptEnable);
    if (enabled & ENABLE_RECEIVED && this.#used(WORD.inputHead, WORD.inputTail) > 0) return ID_RECEIVED;
    if (enabled & ENABLE_TRANSMITTED && this.#get(WORD.transmitted)) return ID_TRANSMITTED;
    return NO_INTERRUPT;
  }

  #identify(): number {
    const id = this.#interrupt();
    if (id === ID_TRANSMITTED) {
      this.#set(WORD.transmitted, 0);
      this.#update();
    }
    return id | (this.#get(WORD.fifoControl) & FIFO_ENABLE ? ID_FIFO : 0);
  }

  #storeUart(register: number, value: number): void {
    switch (register) {
      case DATA:
        if (this.#hasDivisor()) this.#set(WORD.divisor, (this.#get(WORD.divisor) & 0xff00) | value);
        else this.#transmit(value);
        break;
      case INTERRUPT_ENABLE:
        if (this.#hasDivisor()) this.#set(WORD.divisor, (this.#get(WORD.divisor) & 0xff) | (value << 8));
        else {
          if (value & ENABLE_TRANSMITTED) this.#set(WORD.transmitted, 1);
          this.#set(WORD.interruptEnable, value & 0xf);
        }
        break;
      case INTERRUPT_ID:
        this.#set(WORD.fifoControl, value);
        break;
      case LINE_CONTROL:
        this.#set(WORD.lineControl, value);
        break;
      case MODEM_CONTROL:
        this.#set(WORD.modemControl, value);
        break;
      case SCRATCH:
        this.#set(WORD.scratch, value);
        break;
    }
    this.#update();
  }

  #transmit(value: number): void {
    if (this.#used(WORD.outputHead, WORD.outputTail) >= OUTPUT_BYTES) return;
    this.#put(value);
    this.#set(WORD.transmitted, 1);
  }

  /** There is room. */
  #put(value: number): void {
    const head = this.#get(WORD.outputHead);
    this.#shared.output[(head >>> 0) % OUTPUT_BYTES] = value;
    this.#set(WORD.outputHead, (head + 1) | 0);
  }

  #loadPlic(offset: number): number {
    if (offset === PRIORITY) return this.#get(WORD.priority);
    if (offset === PENDING) return this.#get(WORD.pending) ? UART_BIT : 0;
    const place = this.#placeOf(offset);
    if (place === undefined) return 0;
    const { context, register } = place;
    if (register === "enabled") return this.#get(WORD.enabled + context);
    return register === "threshold" ? this.#get(WORD.threshold + context) : this.#claim(context);
  }

  #placeOf(offset: number) {
    const contexts = this.#mips.length;
    const enabled = (offset - ENABLED) / ENABLED_STRIDE;
    if (enabled >= 0 && enabled < contexts) {
      return Number.isInteger(enabled) ? { context: enabled, register: "enabled" as const } : undefined;
    }
    const context = Math.floor((offset - CONTEXT) / CONTEXT_STRIDE);
    if (context < 0 || context >= contexts) return undefined;
    const register = (offset - CONTEXT) % CONTEXT_STRIDE;
    if (register === 0) return { context, register: "threshold" as const };
    return register === CONTEXT_CLAIM ? { context, register: "claim" as const } : undefined;
  }

  #claim(context: number): number {
    if (!this.#wants(context)) return 0;
    this.#set(WORD.pending, 0);
    this.#set(WORD.claimed, 1);
    this.#update();
    return UART_IRQ;
  }

  #storePlic(offset: number, value: number): void {
    if (offset === PRIORITY) this.#set(WORD.priority, value & 7);
    const place = this.#placeOf(offset);
    if (place?.register === "enabled") this.#set(WORD.enabled + place.context, value & UART_BIT);
    else if (place?.register === "threshold") this.#set(WORD.threshold + place.context, value & 7);
    else if (place?.register === "claim" && value === UART_IRQ) this.#set(WORD.claimed, 0);
    this.#update();
  }

  #wants(context: number): boolean {
    const isHigh = this.#get(WORD.priority) > this.#get(WORD.threshold + context);
    return this.#get(WORD.pending) !== 0 && this.#get(WORD.enabled + context) !== 0 && isHigh;
  }

  /** The interrupt's way: UART, PLIC, mip of the harts. */
  #update(): void {
    if (this.#interrupt() !== NO_INTERRUPT && !this.#get(WORD.claimed)) this.#set(WORD.pending, 1);
    for (const [context, mip] of this.#mips.entries()) {
      if (!this.#wants(context)) Atomics.and(this.#memory, mip, ~EXTERNAL);
      else if ((Atomics.or(this.#memory, mip, EXTERNAL) & EXTERNAL) === 0) Atomics.notify(this.#memory, mip);
    }
  }
}
