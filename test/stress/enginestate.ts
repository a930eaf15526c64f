/**
 * The engine's memory read from outside: who held what when a thread died, and all of it for whoever has to
 * find out why nothing moves any more.
 */
import { DEPTH_BITS, HEADER, READER, READER_BYTES } from "../../src/core/layout.js";

/** Where an engine is. */
export interface EnginePlace {
  readonly memory: WebAssembly.Memory;
  readonly base: number;
}

/** What a thread held. */
export interface Holdings {
  readonly lock: boolean;
  readonly gate: boolean;
  /** Its reader lines that have a layout pinned. */
  readonly pins: number;
}

const FIELDS = [
  "root",
  "lock",
  "lockWaiters",
  "waiting",
  "gateOwner",
  "orphaned",
  "observers",
  "owners",
  "transaction",
  "activeRoot",
  "oldestRoot",
] as const;

export class EngineState {
  readonly #words: Int32Array;
  readonly #base: number;

  constructor({ memory, base }: EnginePlace) {
    this.#words = new Int32Array(memory.buffer);
    this.#base = base;
  }

  header(field: keyof typeof HEADER): number {
    return Atomics.load(this.#words, (this.#base + HEADER[field]) / 4) >>> 0;
  }

  #readers<T>(look: (field: (name: keyof typeof READER) => number, line: number) => T): T[] {
    const readers = this.header("readers");
    return Array.from({ length: this.header("maxVcpus") * 2 }, (_, line) =>
      look(
        (name) => Atomics.load(this.#words, (readers + line * READER_BYTES + READER[name]) / 4) >>> 0,
        line,
      ),
    );
  }

  holdings(owner: number): Holdings {
    const pins = this.#readers((field) => field("owner") === owner && field("pin") !== 0);
    return {
      lock: this.header("lock") === owner,
      gate: this.header("gateOwner") === owner,
      pins: pins.filter(Boolean).length,
    };
  }

  dump(): string {
    const header = FIELDS.map((field) => `${field} ${this.header(field)}`).join(", ");
    const readers = this.#readers((field, line) => {
      const words = (["owner", "pin", "request"] as const).map((name) => `${name} ${field(name)}`);
      words.push(`depth ${field("nesting") % 2 ** DEPTH_BITS}`);
      return field("owner") === 0 && field("pin") === 0 ? "" : `\n  reader line ${line}: ${words.join(", ")}`;
    });
    return `engine: ${header}${readers.join("")}`;
  }
}
