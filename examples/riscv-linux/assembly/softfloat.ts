/**
 * IEEE 754 arithmetic of 32 and 64 bits in integers, with all rounding modes and flags. `p` is the precision: 24 or 53
 * bits, the leading one included. Values of 32 bits are in the lower half.
 *
 * A finite number that is not 0 is significand * 2^(exponent - 63), where the significand is a u64 whose top bit is
 * set. A result is computed to 64 bits, of which the lowest is set if anything is below it, and rounded once.
 *
 * Flags are ORed into the hart's.
 */
import { highProduct } from "./compute";
import { Hart, SSTATUS_FS } from "./hart";

export const SINGLE: u32 = 24;
export const DOUBLE: u32 = 53;

/** Rounding: to nearest, ties to even; to 0; down; up; to nearest, ties away from 0. */
const RNE: u32 = 0;
const RTZ: u32 = 1;
const RDN: u32 = 2;
const RUP: u32 = 3;

const INEXACT: u32 = 1;
const UNDERFLOW: u32 = 2;
const OVERFLOW: u32 = 4;
const DIVIDE_BY_ZERO: u32 = 8;
export const INVALID: u32 = 16;

const TOP: u64 = 1 << 63;

export function setFlags(hart: usize, flags: u32): void {
  changetype<Hart>(hart).fflags |= flags;
  changetype<Hart>(hart).sstatus |= SSTATUS_FS;
}

// ---- formats ----

/** Highest exponent of a finite number; also the bias. */
function bias(p: u32): i32 {
  return p == SINGLE ? 127 : 1023;
}

function signBit(p: u32): u64 {
  return p == SINGLE ? 0x8000_0000 : TOP;
}

/** Infinity; what is above without its sign is NaN. */
function infinity(p: u32): u64 {
  return p == SINGLE ? 0x7f80_0000 : 0x7ff0_0000_0000_0000;
}

function quietBit(p: u32): u64 {
  return (<u64>1) << (p - 2);
}

export function canonicalNaN(p: u32): u64 {
  return infinity(p) | quietBit(p);
}

function magnitude(a: u64, p: u32): u64 {
  return a & (signBit(p) - 1);
}

export function isNegative(a: u64, p: u32): bool {
  return (a & signBit(p)) != 0;
}

export function isNotNumber(a: u64, p: u32): bool {
  return magnitude(a, p) > infinity(p);
}

export function isSignaling(a: u64, p: u32): bool {
  return isNotNumber(a, p) && (a & quietBit(p)) == 0;
}

function isInfinite(a: u64, p: u32): bool {
  return magnitude(a, p) == infinity(p);
}

function isZero(a: u64, p: u32): bool {
  return magnitude(a, p) == 0;
}

function exponentOf(a: u64, p: u32): i32 {
  const fraction = magnitude(a, p);
  const field = <i32>(fraction >> (p - 1));
  if (field != 0) return field - bias(p);
  return 1 - bias(p) - (<i32>clz<u64>(fraction) - <i32>(64 - p));
}

function significandOf(a: u64, p: u32): u64 {
  const all = magnitude(a, p);
  if (all >> (p - 1) != 0) return TOP | (all << (64 - p));
  return all << clz<u64>(all);
}

function withSign(a: u64, negative: bool, p: u32): u64 {
  return negative ? a | signBit(p) : a;
}

function zero(negative: bool, p: u32): u64 {
  return withSign(0, negative, p);
}

// ---- rounding ----

/** Does rounding go away from 0? `rest`: what is cut off, its highest bit on top. */
function roundsUp(negative: bool, isOdd: bool, rest: u64, mode: u32): bool {
  if (rest == 0) return false;
  switch (mode) {
    case RNE:
      return rest > TOP || (rest == TOP && isOdd);
    case RTZ:
      return false;
    case RDN:
      return negative;
    case RUP:
      return !negative;
    default:
      return rest >= TOP;
  }
}

/** The lowest bit stands for all below it. */
function shiftRight(a: u64, count: u32): u64 {
  if (count == 0) return a;
  if (count > 63) return <u64>(a != 0);
  return (a >> count) | <u64>(a << (64 - count) != 0);
}

function overflowed(hart: usize, negative: bool, p: u32, mode: u32): u64 {
  setFlags(hart, OVERFLOW | INEXACT);
  const isHuge = mode == RTZ || (mode == RDN && !negative) || (mode == RUP && negative);
  return withSign(isHuge ? infinity(p) - 1 : infinity(p), negative, p);
}

/** The nearest float of significand * 2^(exponent - 63), whose top bit is set. */
export function round(hart: usize, negative: bool, exponent: i32, significand: u64, p: u32, mode: u32): u64 {
  const drop = 64 - p;
  const least = 1 - bias(p);
  if (exponent < least) return roundSmall(hart, negative, least - exponent, significand, p, mode);
  let kept = significand >> drop;
  const rest = significand << p;
  if (rest != 0) setFlags(hart, INEXACT);
  kept += <u64>roundsUp(negative, (kept & 1) != 0, rest, mode);
  // A carry out of the top is the next exponent, with a fraction of 0.
  const field = <u64>(exponent + bias(p) - 1);
  const packed = (field << (p - 1)) + kept;
  if (packed >= infinity(p)) return overflowed(hart, negative, p, mode);
  return withSign(packed, negative, p);
}

/** The same below the least normal number, by `below` powers of 2. It is tiny if it is so after rounding. */
function roundSmall(hart: usize, negative: bool, below: u32, significand: u64, p: u32, mode: u32): u64 {
  const drop = 64 - p;
  const whole = significand >> drop;
  const up = roundsUp(negative, (whole & 1) != 0, significand << p, mode);
  const isTiny = below > 1 || !up || whole + 1 != (<u64>1) << p;
  const shifted = shiftRight(significand, below);
  const kept = shifted >> drop;
  const rest = shifted << p;
  if (rest != 0) setFlags(hart, isTiny ? INEXACT | UNDERFLOW : INEXACT);
  return withSign(kept + <u64>roundsUp(negative, (kept & 1) != 0, rest, mode), negative, p);
}

// ---- NaN ----

/** An operation has no result. */
function invalid(hart: usize, p: u32): u64 {
  setFlags(hart, INVALID);
  return canonicalNaN(p);
}

/** One of the operands is NaN. */
function fromNaN(hart: usize, a: u64, b: u64, p: u32): u64 {
  if (isSignaling(a, p) || isSignaling(b, p)) setFlags(hart, INVALID);
  return canonicalNaN(p);
}

// ---- arithmetic ----

export function add(hart: usize, a: u64, b: u64, p: u32, mode: u32): u64 {
  if (isNotNumber(a, p) || isNotNumber(b, p)) return fromNaN(hart, a, b, p);
  const aNegative = isNegative(a, p);
  const bNegative = isNegative(b, p);
  if (isInfinite(a, p)) return isInfinite(b, p) && aNegative != bNegative ? invalid(hart, p) : a;
  if (isInfinite(b, p)) return b;
  if (isZero(a, p)) {
    if (!isZero(b, p)) return b;
    return aNegative == bNegative ? a : zero(mode == RDN, p);
  }
  if (isZero(b, p)) return a;
  const aIsLarger = magnitude(a, p) >= magnitude(b, p);
  const large = aIsLarger ? a : b;
  const small = aIsLarger ? b : a;
  const exponent = exponentOf(large, p);
  const negative = isNegative(large, p);
  // Two bits for the carry and for what is shifted out.
  const first = significandOf(large, p) >> 2;
  const second = shiftRight(significandOf(small, p) >> 2, exponent - exponentOf(small, p));
  const sum = aNegative == bNegative ? first + second : first - second;
  if (sum == 0) return zero(mode == RDN, p);
  const shift = <i32>clz<u64>(sum);
  return round(hart, negative, exponent + 2 - shift, sum << shift, p, mode);
}

export function multiplyFloats(hart: usize, a: u64, b: u64, p: u32, mode: u32): u64 {
  if (isNotNumber(a, p) || isNotNumber(b, p)) return fromNaN(hart, a, b, p);
  const negative = isNegative(a ^ b, p);
  if (isInfinite(a, p) || isInfinite(b, p)) {
    return isZero(a, p) || isZero(b, p) ? invalid(hart, p) : withSign(infinity(p), negative, p);
  }
  if (isZero(a, p) || isZero(b, p)) return zero(negative, p);
  const aSignificand = significandOf(a, p);
  const bSignificand = significandOf(b, p);
  const high = highProduct(aSignificand, bSignificand);
  const low = aSignificand * bSignificand;
  const exponent = exponentOf(a, p) + exponentOf(b, p);
  if (high & TOP) return round(hart, negative, exponent + 1, high | <u64>(low != 0), p, mode);
  return round(hart, negative, exponent, (high << 1) | (low >> 63) | <u64>(low << 1 != 0), p, mode);
}

export function divide(hart: usize, a: u64, b: u64, p: u32, mode: u32): u64 {
  if (isNotNumber(a, p) || isNotNumber(b, p)) return fromNaN(hart, a, b, p);
  const negative = isNegative(a ^ b, p);
  if (isInfinite(a, p)) return isInfinite(b, p) ? invalid(hart, p) : withSign(infinity(p), negative, p);
  if (isInfinite(b, p)) return zero(negative, p);
  if (isZero(b, p)) {
    if (isZero(a, p)) return invalid(hart, p);
    setFlags(hart, DIVIDE_BY_ZERO);
    return withSign(infinity(p), negative, p);
  }
  if (isZero(a, p)) return zero(negative, p);
  const divisor = significandOf(b, p) >> 1;
  let rest = significandOf(a, p) >> 1;
  let exponent = exponentOf(a, p) - exponentOf(b, p);
  if (rest < divisor) {
    rest <<= 1;
    exponent--;
  }
  let quotient: u64 = 0;
  for (let i = 0; i < 64; i++) {
    quotient <<= 1;
    if (rest >= divisor) {
      rest -= divisor;
      quotient |= 1;
    }
    rest <<= 1;
  }
  return round(hart, negative, exponent, quotient | <u64>(rest != 0), p, mode);
}

/** Bits of a root that are computed one by one: more than any precision, few enough for the rest in a u64. */
const ROOT_BITS: i32 = 60;

export function squareRoot(hart: usize, a: u64, p: u32, mode: u32): u64 {
  if (isNotNumber(a, p)) return fromNaN(hart, a, a, p);
  if (isZero(a, p)) return a;
  if (isNegative(a, p)) return invalid(hart, p);
  if (isInfinite(a, p)) return a;
  const exponent = exponentOf(a, p);
  // Two bits of the radicand for each of the root; the first two are its whole part, 1 to 3.
  let radicand = significandOf(a, p) >> (exponent & 1 ? 0 : 1);
  let root: u64 = 0;
  let rest: u64 = 0;
  for (let i = 0; i < ROOT_BITS; i++) {
    rest = (rest << 2) | (radicand >> 62);
    radicand <<= 2;
    const trial = (root << 2) | 1;
    root <<= 1;
    if (rest >= trial) {
      rest -= trial;
      root |= 1;
    }
  }
  return round(hart, false, exponent >> 1, (root << (64 - ROOT_BITS)) | <u64>(rest != 0), p, mode);
}

/** a * b + c, rounded once. */
export function multiplyAdd(hart: usize, a: u64, b: u64, c: u64, p: u32, mode: u32): u64 {
  const noProduct = (isInfinite(a, p) && isZero(b, p)) || (isZero(a, p) && isInfinite(b, p));
  if (noProduct) return invalid(hart, p);
  if (isNotNumber(a, p) || isNotNumber(b, p) || isNotNumber(c, p)) {
    if (isSignaling(c, p)) setFlags(hart, INVALID);
    return fromNaN(hart, a, b, p);
  }
  const negative = isNegative(a ^ b, p);
  const cNegative = isNegative(c, p);
  if (isInfinite(a, p) || isInfinite(b, p)) {
    if (isInfinite(c, p) && negative != cNegative) return invalid(hart, p);
    return withSign(infinity(p), negative, p);
  }
  if (isInfinite(c, p)) return c;
  if (isZero(a, p) || isZero(b, p)) {
    if (!isZero(c, p)) return c;
    return negative == cNegative ? c : zero(mode == RDN, p);
  }
  if (isZero(c, p)) return multiplyFloats(hart, a, b, p, mode);
  return addToProduct(hart, a, b, c, p, mode);
}

/** The same for finite numbers that are not 0: 128 bits, of which two are for the carry. */
function addToProduct(hart: usize, a: u64, b: u64, c: u64, p: u32, mode: u32): u64 {
  const aSignificand = significandOf(a, p);
  const bSignificand = significandOf(b, p);
  let high = highProduct(aSignificand, bSignificand);
  let low = aSignificand * bSignificand;
  let exponent = exponentOf(a, p) + exponentOf(b, p) + 1;
  if ((high & TOP) == 0) {
    high = (high << 1) | (low >> 63);
    low <<= 1;
    exponent--;
  }
  low = (low >> 2) | (high << 62);
  high >>= 2;
  let otherHigh = significandOf(c, p) >> 2;
  let otherLow: u64 = 0;
  const distance = exponent - exponentOf(c, p);
  let negative = isNegative(a ^ b, p);
  const isSum = negative == isNegative(c, p);
  // Make the product the larger of the two.
  if (
    distance < 0 ||
    (distance == 0 && otherHigh > high) ||
    (distance == 0 && otherHigh == high && low == 0)
  ) {
    const productHigh = high;
    const productLow = low;
    high = otherHigh;
    low = 0;
    otherHigh = productHigh;
    otherLow = productLow;
    exponent -= distance;
    negative = isNegative(c, p);
  }
  const shift = <u32>(distance < 0 ? -distance : distance);
  if (shift >= 64) {
    otherLow = shiftRight(otherHigh, shift - 64) | <u64>(otherLow != 0);
    otherHigh = 0;
  } else if (shift > 0) {
    const lost = otherLow << (64 - shift) != 0;
    otherLow = (otherLow >> shift) | (otherHigh << (64 - shift)) | <u64>lost;
    otherHigh >>= shift;
  }
  if (isSum) {
    low += otherLow;
    high += otherHigh + <u64>(low < otherLow);
  } else {
    const borrow = <u64>(low < otherLow);
    low -= otherLow;
    high -= otherHigh + borrow;
  }
  return roundWide(hart, negative, exponent + 2, high, low, p, mode);
}

/** The float of 128 bits, whose top bit stands for 2^exponent. */
function roundWide(hart: usize, negative: bool, exponent: i32, high: u64, low: u64, p: u32, mode: u32): u64 {
  if ((high | low) == 0) return zero(mode == RDN, p);
  if (high == 0) {
    const shift = <i32>clz<u64>(low);
    return round(hart, negative, exponent - 64 - shift, low << shift, p, mode);
  }
  const shift = <i32>clz<u64>(high);
  if (shift > 0) {
    high = (high << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  return round(hart, negative, exponent - shift, high | <u64>(low != 0), p, mode);
}

// ---- comparisons ----

/** a < b, of numbers. */
function isLess(a: u64, b: u64, p: u32): bool {
  const aNegative = isNegative(a, p);
  if (aNegative != isNegative(b, p)) return aNegative && (magnitude(a, p) | magnitude(b, p)) != 0;
  return a != b && a < b != aNegative;
}

function isEqual(a: u64, b: u64, p: u32): bool {
  return a == b || (magnitude(a, p) | magnitude(b, p)) == 0;
}

/** FLE, FLT, FEQ by funct3. */
export function compareFloats(hart: usize, funct3: u32, a: u64, b: u64, p: u32): bool {
  if (isNotNumber(a, p) || isNotNumber(b, p)) {
    if (funct3 != 2 || isSignaling(a, p) || isSignaling(b, p)) setFlags(hart, INVALID);
    return false;
  }
  if (funct3 == 2) return isEqual(a, b, p);
  return isLess(a, b, p) || (funct3 == 0 && isEqual(a, b, p));
}

/** FMIN, FMAX: the number if the other is NaN; -0 is less than +0. */
export function extremeFloat(hart: usize, isMax: bool, a: u64, b: u64, p: u32): u64 {
  if (isSignaling(a, p) || isSignaling(b, p)) setFlags(hart, INVALID);
  if (isNotNumber(a, p)) return isNotNumber(b, p) ? canonicalNaN(p) : b;
  if (isNotNumber(b, p)) return a;
  const isFirst = isLess(a, b, p) || (isEqual(a, b, p) && isNegative(a, p));
  return isFirst != isMax ? a : b;
}

/** FCLASS: one bit of ten. */
export function classOf(a: u64, p: u32): u64 {
  if (isNotNumber(a, p)) return isSignaling(a, p) ? 1 << 8 : 1 << 9;
  const negative = isNegative(a, p);
  if (isInfinite(a, p)) return negative ? 1 : 1 << 7;
  if (isZero(a, p)) return negative ? 1 << 3 : 1 << 4;
  if (magnitude(a, p) >> (p - 1)) return negative ? 1 << 1 : 1 << 6;
  return negative ? 1 << 2 : 1 << 5;
}

// ---- conversions ----

/** From 64 bits to 32, and back. */
export function narrow(hart: usize, a: u64, mode: u32): u64 {
  if (isNotNumber(a, DOUBLE)) {
    fromNaN(hart, a, a, DOUBLE);
    return canonicalNaN(SINGLE);
  }
  const negative = isNegative(a, DOUBLE);
  if (isInfinite(a, DOUBLE)) return withSign(infinity(SINGLE), negative, SINGLE);
  if (isZero(a, DOUBLE)) return zero(negative, SINGLE);
  return round(hart, negative, exponentOf(a, DOUBLE), significandOf(a, DOUBLE), SINGLE, mode);
}

export function widen(hart: usize, a: u64): u64 {
  if (isNotNumber(a, SINGLE)) {
    fromNaN(hart, a, a, SINGLE);
    return canonicalNaN(DOUBLE);
  }
  const negative = isNegative(a, SINGLE);
  if (isInfinite(a, SINGLE)) return withSign(infinity(DOUBLE), negative, DOUBLE);
  if (isZero(a, SINGLE)) return zero(negative, DOUBLE);
  return round(hart, negative, exponentOf(a, SINGLE), significandOf(a, SINGLE), DOUBLE, RNE);
}

export function fromInteger(hart: usize, negative: bool, size: u64, p: u32, mode: u32): u64 {
  if (size == 0) return 0;
  const shift = <i32>clz<u64>(size);
  return round(hart, negative, 63 - shift, size << shift, p, mode);
}

/** To an integer: `kind` 0 to 3 are i32, u32, i64, u64. Results of 32 bits are extended by their sign. */
export function toInteger(hart: usize, a: u64, kind: u32, p: u32, mode: u32): u64 {
  const isUnsigned = (kind & 1) != 0;
  const isWide = kind > 1;
  const negative = isNegative(a, p) && !isNotNumber(a, p);
  const most: u64 = isWide
    ? isUnsigned
      ? u64.MAX_VALUE
      : <u64>i64.MAX_VALUE
    : isUnsigned
      ? <u64>u32.MAX_VALUE
      : <u64>i32.MAX_VALUE;
  const limit = negative ? (isUnsigned ? 0 : most + 1) : most;
  if (isZero(a, p)) return 0;
  const exponent = exponentOf(a, p);
  let size: u64 = 0;
  let fits = !isNotNumber(a, p) && !isInfinite(a, p) && exponent < 64;
  if (fits) {
    const shift = <u32>(63 - exponent);
    const significand = significandOf(a, p);
    size = shift > 63 ? 0 : significand >> shift;
    const rest = shift == 0 ? 0 : shift > 64 ? 1 : significand << (64 - shift);
    const up = roundsUp(negative, (size & 1) != 0, rest, mode);
    fits = !(up && size == u64.MAX_VALUE) && size + <u64>up <= limit;
    size += <u64>up;
    if (fits && rest != 0) setFlags(hart, INEXACT);
  }
  if (!fits) {
    setFlags(hart, INVALID);
    size = limit;
  }
  const value = negative ? 0 - size : size;
  return isWide ? value : <u64>(<i64>(<i32>value));
}
