/**
 * Bytes of a saved engine: integers in groups of 7 bits, lowest first, so that small ones take a byte; and the
 * checksum.
 */

/** CRC-32 of IEEE 802.3, as in zip and Ethernet. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

const CRC_POLYNOMIAL = 0xedb8_8320;
const CRC_TABLE = /* @__PURE__ */ Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CRC_POLYNOMIAL : crc >>> 1;
  return crc;
});

/** Appends integers and strings. */
export class ByteWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;

  /** What was written so far. */
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #byte(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const longer = new Uint8Array(2 * this.#length);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** An integer from 0 to 2^53 - 1. */
  number(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#byte((rest % 0x80) + 0x80);
    this.#byte(rest);
  }

  /** An integer from 0 to 2^64 - 1. */
  bigint(value: bigint): void {
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) this.#byte(Number(rest & 0x7fn) + 0x80);
    this.#byte(Number(rest));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.number(bytes.length);
    for (const byte of bytes) this.#byte(byte);
  }

  list<Item>(items: readonly Item[], write: (item: Item) => void): void {
    this.number(items.length);
    for (const item of items) write(item);
  }
}

/** Reads what a ByteWriter has written. @throws Error behind the end, and for what no writer writes */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @throws Error if there are bytes left */
  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new Error(`${left} bytes are left over`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Error("it ends in the middle of a field");
    return byte;
  }

  bigint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new Error("an integer has more than 64 bits");
  }

  /** @param max largest value that is right */
  number(what: string, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.bigint();
    if (value > BigInt(max)) throw new Error(`${what} is ${value}, above ${max}`);
    return Number(value);
  }

  string(): string {
    const length = this.number("length of a string", this.#bytes.length - this.#at);
    this.#at += length;
    return new TextDecoder().decode(this.#bytes.subarray(this.#at - length, this.#at));
  }

  /** A list, of which each item has a byte at least. */
  list<Item>(what: string, read: () => Item): Item[] {
    const count = this.number(`number of ${what}`, this.#bytes.length - this.#at);
    return Array.from({ length: count }, read);
  }
}
