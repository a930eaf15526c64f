/**
 * What instructions compute: opcodes OP, OP-IMM and BRANCH, and the multiplications and divisions of M.
 */

/** OP and OP-IMM by funct3; `alternative` is bit 30: SUB and SRA. */
export function compute(funct3: u32, alternative: bool, a: u32, b: u32): u32 {
  switch (funct3) {
    case 0:
      return alternative ? a - b : a + b;
    case 1:
      return a << (b & 31);
    case 2:
      return <u32>(<i32>a < <i32>b);
    case 3:
      return <u32>(a < b);
    case 4:
      return a ^ b;
    case 5:
      return alternative ? <u32>(<i32>a >> (b & 31)) : a >> (b & 31);
    case 6:
      return a | b;
    default:
      return a & b;
  }
}

/** M by funct3. A division by 0 and the one that overflows have results, they do not trap. */
export function multiply(funct3: u32, a: u32, b: u32): u32 {
  switch (funct3) {
    case 0:
      return a * b;
    case 1:
      return <u32>((<i64>(<i32>a) * <i64>(<i32>b)) >> 32);
    case 2:
      return <u32>((<i64>(<i32>a) * <i64>b) >> 32);
    case 3:
      return <u32>((<u64>a * <u64>b) >> 32);
    case 4:
      if (b == 0) return u32.MAX_VALUE;
      return a == 0x80000000 && b == u32.MAX_VALUE ? a : <u32>(<i32>a / <i32>b);
    case 5:
      return b == 0 ? u32.MAX_VALUE : a / b;
    case 6:
      if (b == 0) return a;
      return a == 0x80000000 && b == u32.MAX_VALUE ? 0 : <u32>(<i32>a % <i32>b);
    default:
      return b == 0 ? a : a % b;
  }
}

/** BRANCH by funct3; 2 and 3 are no instructions. */
export function isTaken(funct3: u32, a: u32, b: u32): bool {
  switch (funct3) {
    case 0:
      return a == b;
    case 1:
      return a != b;
    case 4:
      return <i32>a < <i32>b;
    case 5:
      return <i32>a >= <i32>b;
    case 6:
      return a < b;
    default:
      return a >= b;
  }
}
