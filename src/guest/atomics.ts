/**
 * Atomic operations on guest memory, as JavaScript's own on a typed array: for locks and rings that the guest shares
 * with devices or among its vCPUs. Sequentially consistent with each other and with Atomics and wasm atomics on the
 * same host bytes, if the host memory is shared.
 *
 * As in KVM a compare-and-swap marks its page dirty whether it swapped or not (emulator_cmpxchg_emulated).
 */
import { GuestAccess, toGpa } from "./access.js";
import type { Run } from "./runs.js";
import { type AccessTarget, READ, WRITE } from "./target.js";

/** Width of an atomic operation. */
export type AtomicBits = 8 | 16 | 32 | 64;
/** Values of that width: unsigned, a bigint for 64 bits. */
export type AtomicValue<Bits extends AtomicBits> = Bits extends 64 ? bigint : number;

type Units = Run["units"][number] & object;

/** Operand of a load in a report. */
const NOTHING = 0;

/** The units of a run that are aligned in its buffer. */
function unitsOf(run: Run, bytes: number): Units {
  const log2 = 31 - Math.clz32(bytes);
  const known = run.units[log2];
  if (known !== undefined && known.length > 0) return known;
  const { buffer, byteOffset, length } = run.bytes;
  const skipped = (bytes - (byteOffset % bytes)) % bytes;
  const first = byteOffset + skipped;
  const count = Math.floor((length - skipped) / bytes);
  const units =
    bytes === 8
      ? new BigUint64Array(buffer, first, count)
      : bytes === 4
        ? new Uint32Array(buffer, first, count)
        : bytes === 2
          ? new Uint16Array(buffer, first, count)
          : run.bytes;
  run.units[log2] = units;
  return units;
}

function valueIn(units: Units, index: number): number | bigint {
  return units[index]!;
}

/**
 * All functions return what was there before, unsigned. `gpa` is a multiple of bits / 8.
 * A hole is reported as that of any access; what `onHole` answers is what was there before.
 */
export class GuestAtomics {
  readonly #access: GuestAccess;

  /**
   * Made by GuestMemory.
   * @internal
   */
  constructor(target: AccessTarget) {
    const access = new GuestAccess(target);
    this.#access = access;
    target.forget.push(() => access.forget());
  }

  /** The value. @throws RangeError for an address that is not aligned, KvmError EFAULT as all accesses */
  load<B extends AtomicBits>(gpa: number, bits: B): AtomicValue<B> {
    return this.#operate("load", gpa, bits, undefined, (units, i) => Atomics.load(units as Uint32Array, i));
  }

  /** The value that was there before is not told: `value` comes back, as from Atomics. @throws as load */
  store<B extends AtomicBits>(gpa: number, bits: B, value: AtomicValue<B>): AtomicValue<B> {
    return this.#operate("store", gpa, bits, value, (units, i, by) =>
      Atomics.store(units as Uint32Array, i, by),
    );
  }

  /** Add `value`, modulo 2 to the power of `bits`. @throws as load */
  add<B extends AtomicBits>(gpa: number, bits: B, value: AtomicValue<B>): AtomicValue<B> {
    return this.#operate("add", gpa, bits, value, (units, i, by) => Atomics.add(units as Uint32Array, i, by));
  }

  /** Subtract `value`, modulo 2 to the power of `bits`. @throws as load */
  sub<B extends AtomicBits>(gpa: number, bits: B, value: AtomicValue<B>): AtomicValue<B> {
    return this.#operate("sub", gpa, bits, value, (units, i, by) => Atomics.sub(units as Uint32Array, i, by));
  }

  /** Bitwise and with `value`. @throws as load */
  and<B extends AtomicBits>(gpa: number, bits: B, value: AtomicValue<B>): AtomicValue<B> {
    return this.#operate("and", gpa, bits, value, (units, i, by) => Atomics.and(units as Uint32Array, i, by));
  }

  /** Bitwise or with `value`. @throws as load */
  or<B extends AtomicBits>(gpa: number, bits: B, value: AtomicValue<B>): AtomicValue<B> {
    return this.#operate("or", gpa, bits, value, (units, i, by) => Atomics.or(units as Uint32Array, i, by));
  }

  /** Bitwise exclusive or with `value`. @throws as load */
  xor<B extends AtomicBits>(gpa: number, bits: B, value: AtomicValue<B>): AtomicValue<B> {
    return this.#operate("xor", gpa, bits, value, (units, i, by) => Atomics.xor(units as Uint32Array, i, by));
  }

  /** Put `value` there. @throws as load */
  exchange<B extends AtomicBits>(gpa: number, bits: B, value: AtomicValue<B>): AtomicValue<B> {
    return this.#operate("exchange", gpa, bits, value, (units, i, by) =>
      Atomics.exchange(units as Uint32Array, i, by),
    );
  }

  /** Put `value` there if `expected` is there. @throws as load */
  compareExchange<B extends AtomicBits>(
    gpa: number,
    bits: B,
    expected: AtomicValue<B>,
    value: AtomicValue<B>,
  ): AtomicValue<B> {
    return this.#operate("compareExchange", gpa, bits, value, (units, i, by) =>
      Atomics.compareExchange(units as Uint32Array, i, expected as number, by),
    );
  }

  /** `operand` undefined: a load. The work of one width gets the array, and the operand, of that width. */
  #operate<B extends AtomicBits>(
    op: string,
    address: number,
    bits: B,
    operand: AtomicValue<B> | undefined,
    work: (units: Units, index: number, operand: number) => number,
  ): AtomicValue<B> {
    const bytes = bits / 8;
    if (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8) {
      throw new TypeError(`bits must be 8, 16, 32 or 64, not ${bits}`);
    }
    const gpa = toGpa(address);
    // NaN and Infinity have no remainder: they are holes, as for any access.
    if (gpa % bytes !== 0 && Number.isFinite(gpa)) {
      throw new RangeError(
        `gpa must be a multiple of ${bytes} for an atomic of ${bits} bits, not 0x${gpa.toString(16)}`,
      );
    }
    const access = this.#access;
    const write = operand !== undefined;
    let before: number | bigint | undefined;
    access.begin();
    try {
      const run = access.findWhole(gpa, bytes, write ? WRITE : READ);
      if (run !== undefined) {
        const at = run.bytes.byteOffset + (gpa - run.gpa);
        if (at % bytes !== 0) {
          throw new RangeError(
            `the host memory at gpa 0x${gpa.toString(16)} must be a multiple of ${bytes} as well`,
          );
        }
        const units = unitsOf(run, bytes);
        before = work(units, (at - units.byteOffset) / bytes, operand as number);
        if (write && run.logged) access.mark(gpa, bytes, run);
        if (run.watched) {
          const value = write ? valueIn(units, (at - units.byteOffset) / bytes) : before;
          access.note(gpa, bytes, write ? WRITE : READ, run, value);
        }
      }
    } finally {
      access.end();
    }
    access.tell();
    before ??= access.report(`atomics.${op}`, gpa, bytes, gpa, write, operand ?? NOTHING);
    return (bits === 64 ? BigInt.asUintN(64, BigInt(before)) : Number(before)) as AtomicValue<B>;
  }
}
