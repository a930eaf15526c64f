/**
 * Multiplications and divisions of M.
 */

/** Upper 64 bits of the product of two numbers without sign. */
export function highProduct(a: u64, b: u64): u64 {
  const aLow = a & 0xffff_ffff;
  const aHigh = a >> 32;
  const bLow = b & 0xffff_ffff;
  const bHigh = b >> 32;
  const middle = aHigh * bLow + ((aLow * bLow) >> 32);
  const other = aLow * bHigh + (middle & 0xffff_ffff);
  return aHigh * bHigh + (middle >> 32) + (other >> 32);
}

/** M by funct3. A division by 0 and the one that overflows have results, they do not trap. */
export function multiply(funct3: u32, a: u64, b: u64): u64 {
  switch (funct3) {
    case 0:
      return a * b;
    case 1:
      return highProduct(a, b) - (<i64>a < 0 ? b : 0) - (<i64>b < 0 ? a : 0);
    case 2:
      return highProduct(a, b) - (<i64>a < 0 ? b : 0);
    case 3:
      return highProduct(a, b);
    case 4:
      if (b == 0) return u64.MAX_VALUE;
      return <i64>a == i64.MIN_VALUE && b == u64.MAX_VALUE ? a : <u64>(<i64>a / <i64>b);
    case 5:
      return b == 0 ? u64.MAX_VALUE : a / b;
    case 6:
      if (b == 0) return a;
      return <i64>a == i64.MIN_VALUE && b == u64.MAX_VALUE ? 0 : <u64>(<i64>a % <i64>b);
    default:
      return b == 0 ? a : a % b;
  }
}

/** The forms of 32 bits; `funct3` 1 to 3 are none. */
export function multiplyWord(funct3: u32, a: u32, b: u32): i32 {
  switch (funct3) {
    case 0:
      return <i32>(a * b);
    case 4:
      if (b == 0) return -1;
      return <i32>a == i32.MIN_VALUE && b == u32.MAX_VALUE ? <i32>a : <i32>a / <i32>b;
    case 5:
      return b == 0 ? -1 : <i32>(a / b);
    case 6:
      if (b == 0) return <i32>a;
      return <i32>a == i32.MIN_VALUE && b == u32.MAX_VALUE ? 0 : <i32>a % <i32>b;
    default:
      return b == 0 ? <i32>a : <i32>(a % b);
  }
}
