/** Checks of arguments. Each throws before anything happens, with a sentence that names the argument. */

const TWO_32 = 2 ** 32;
const TWO_64 = 0x1_0000_0000_0000_0000n;

/** Format a value for an error message. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "object" && value !== null ? Object.prototype.toString.call(value) : String(value);
}

/** @throws TypeError if `value` is no object */
export function checkObject(value: unknown, name: string): void {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`${name} must be an object, not ${show(value)}`);
  }
}

/**
 * Check that every key of `options` is a known option.
 * @param known every option as a key: the compiler reports one that is missing
 * @throws TypeError naming the option that does not exist
 */
export function checkOptionNames<Options>(
  options: Options,
  known: { readonly [Name in keyof Required<Options>]: true },
  name = "options",
): void {
  checkObject(options, name);
  for (const option of Object.keys(options as object)) {
    if (Object.hasOwn(known, option)) continue;
    throw new TypeError(`${name}.${option} is unknown, it must be one of ${Object.keys(known).join(", ")}`);
  }
}

/** @throws TypeError naming the argument */
export function checkArray(value: unknown, name: string): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array, not ${show(value)}`);
}

/** @throws TypeError naming the argument */
export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== "function") throw new TypeError(`${name} must be a function, not ${show(value)}`);
}

/** Call every one, whatever the others throw. @throws the first error, after the last call */
export function callAll(calls: Iterable<() => void>): void {
  let failure: { error: unknown } | undefined;
  for (const call of calls) {
    try {
      call();
    } catch (error) {
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}

/** `value`, or `otherwise` if it is undefined. @throws TypeError naming the argument */
export function toBoolean(value: unknown, name: string, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== "boolean") throw new TypeError(`${name} must be a boolean, not ${show(value)}`);
  return value;
}

/** `value` as an integer from `min` to `max`. @throws TypeError, RangeError naming the argument */
export function toInteger(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw new TypeError(`${name} must be an integer, not ${show(value)}`);
  }
  if (value < min || value > max) throw new RangeError(`${name} must be from ${min} to ${max}, not ${value}`);
  return value;
}

/** `value` as an address or a number of bytes that a number holds exactly. @throws TypeError naming the argument */
export function toAddress(value: unknown, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${name} must be an integer from 0 to 2^53 - 1, not ${show(value)}`);
  }
  return value;
}

/** `value` as a 32-bit word. @throws TypeError naming the argument */
export function toU32(value: unknown, name: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= TWO_32) {
    throw new TypeError(`${name} must be an integer from 0 to 2^32 - 1, not ${show(value)}`);
  }
  return value;
}

/** Store `value` as two words, the lower one first. @throws TypeError naming the argument */
export function putU64(words: Uint32Array, at: number, value: unknown, name: string): void {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) {
    words[at] = value;
    words[at + 1] = value / TWO_32;
  } else if (typeof value === "bigint" && value >= 0n && value < TWO_64) {
    words[at] = Number(value & 0xffff_ffffn);
    words[at + 1] = Number(value >> 32n);
  } else {
    throw new TypeError(
      `${name} must be an integer from 0 to 2^53 - 1 or a bigint below 2^64, not ${show(value)}`,
    );
  }
}

/**
 * `gpa`, unchanged: every number is valid, because the core maps one that is no address to nothing.
 * @throws TypeError naming the argument
 */
export function toGpa(gpa: number, name = "gpa"): number {
  return typeof gpa === "number" ? gpa : refuseNumber(gpa, name);
}

function refuseNumber(value: unknown, name: string): never {
  const remedy = typeof value === "bigint" ? ": convert it by Number()" : "";
  throw new TypeError(`${name} must be a number, not ${show(value)}${remedy}`);
}
