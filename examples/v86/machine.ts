/**
 * A v86 machine for tests and demos: boots a guest program, does the host's actions that it calls, and collects the
 * bytes that it reports.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { V86, type V86Options } from "v86";
import { CALL, VALUE } from "./guest.js";
import { SIZES } from "./sizes.js";

const require = createRequire(import.meta.url);
export const V86_WASM = readFileSync(require.resolve("v86/build/v86.wasm"));

/** A machine that reports nothing in this time is stuck. */
const WATCHDOG_MS = 300_000;

export function fileBuffer(path: string): ArrayBuffer {
  const { buffer, byteOffset, length } = readFileSync(path);
  return buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer;
}

/** Actions of the host, by the number of the guest's call. */
export type Actions = Readonly<Record<number, (emulator: V86) => void>>;

/** A running machine. */
export class GuestMachine {
  readonly emulator: V86;
  /** Bytes that the guest has reported. */
  readonly values: number[] = [];
  /** Characters of the first serial port. */
  console = "";
  #kind: number | undefined;
  readonly #waiting = new Map<number, () => void>();
  readonly #called = new Set<number>();

  constructor(options: V86Options, actions: Actions = {}) {
    this.emulator = new V86({
      ...SIZES,
      wasm_fn: async (imports) => (await WebAssembly.instantiate(V86_WASM, imports)).instance.exports,
      uart1: true,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
      autostart: true,
      ...options,
    });
    this.emulator.add_listener("serial0-output-byte", (byte) => {
      this.console += String.fromCharCode(byte);
    });
    this.emulator.add_listener("serial1-output-byte", (byte) => {
      if (this.#kind === undefined) {
        this.#kind = byte;
        return;
      }
      if (this.#kind === VALUE) this.values.push(byte);
      if (this.#kind === CALL) this.#call(byte, actions);
      this.#kind = undefined;
    });
  }

  #call(action: number, actions: Actions): void {
    actions[action]?.(this.emulator);
    this.#called.add(action);
    this.#waiting.get(action)?.();
  }

  /** Resolves once the guest has made this call since the last wait for it. */
  called(action: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#called.delete(action)) {
        resolve();
        return;
      }
      const watchdog = setTimeout(() => {
        const told = this.values.map((value) => value.toString(16)).join(" ");
        reject(new Error(`the guest did not make call ${action}; it told ${told}; console: ${this.console}`));
      }, WATCHDOG_MS);
      this.#waiting.set(action, () => {
        clearTimeout(watchdog);
        this.#waiting.delete(action);
        this.#called.delete(action);
        resolve();
      });
    });
  }

  async stop(): Promise<void> {
    await this.emulator.destroy();
  }
}
