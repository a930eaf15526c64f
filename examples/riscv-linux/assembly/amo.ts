/**
 * LR, SC and the AMOs, on RAM that other harts use: wasm's own atomics, which are sequentially consistent, so
 * that aq and rl are always there.
 *
 * SC is a compare-and-swap against the value that LR saw, as in QEMU: it cannot tell a word that was changed
 * and changed back from one that nobody touched.
 */
import { CAUSE_ILLEGAL, CAUSE_MISALIGNED_LOAD, CAUSE_MISALIGNED_STORE, Hart, rs1, rs2, setRd } from "./hart";
import { READ, translate, WRITE } from "./mmu";
import { NO_RESERVATION, raise } from "./trap";

const LR: u32 = 0x02;
const SC: u32 = 0x03;
const WORD: u32 = 2;
const DOUBLE: u32 = 3;

function extendWord(value: u32): u64 {
  return <u64>(<i64>(<i32>value));
}

/** AMOMIN, AMOMAX, AMOMINU, AMOMAXU by funct5. */
function extreme<T>(funct5: u32, a: T, b: T): T {
  switch (funct5) {
    case 0x10:
      return sizeof<T>() == 4 ? <T>min<i32>(<i32>a, <i32>b) : <T>min<i64>(<i64>a, <i64>b);
    case 0x14:
      return sizeof<T>() == 4 ? <T>max<i32>(<i32>a, <i32>b) : <T>max<i64>(<i64>a, <i64>b);
    case 0x18:
      return min<T>(a, b);
    default:
      return max<T>(a, b);
  }
}

/** What was at `host` before the operation. */
function exchange<T>(host: usize, funct5: u32, b: T): T {
  switch (funct5) {
    case 0x00:
      return atomic.add<T>(host, b);
    case 0x01:
      return atomic.xchg<T>(host, b);
    case 0x04:
      return atomic.xor<T>(host, b);
    case 0x08:
      return atomic.or<T>(host, b);
    case 0x0c:
      return atomic.and<T>(host, b);
    default:
      while (true) {
        const old = atomic.load<T>(host);
        if (atomic.cmpxchg<T>(host, old, extreme<T>(funct5, old, b)) == old) return old;
      }
  }
}

function loadReserved(hart: usize, pc: u64, insn: u32, address: u64, isWord: bool): u64 {
  if ((insn >> 20) & 31) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  const host = translate(hart, address, READ);
  if (host == 0) return raise(hart, pc, changetype<Hart>(hart).fault, address);
  const value = isWord ? extendWord(atomic.load<u32>(host)) : atomic.load<u64>(host);
  changetype<Hart>(hart).reservation = address;
  changetype<Hart>(hart).reservedValue = value;
  setRd(hart, insn, value);
  return pc + 4;
}

function storeConditional(hart: usize, pc: u64, insn: u32, address: u64, isWord: bool): u64 {
  const state = changetype<Hart>(hart);
  const host = translate(hart, address, WRITE);
  if (host == 0) return raise(hart, pc, state.fault, address);
  const old = state.reservedValue;
  const value = rs2(hart, insn);
  const done =
    state.reservation == address &&
    (isWord
      ? atomic.cmpxchg<u32>(host, <u32>old, <u32>value) == <u32>old
      : atomic.cmpxchg<u64>(host, old, value) == old);
  state.reservation = NO_RESERVATION;
  setRd(hart, insn, <u64>!done);
  return pc + 4;
}

/** Opcode AMO. Returns where to go on. */
export function executeAmo(hart: usize, pc: u64, insn: u32): u64 {
  const funct5 = insn >> 27;
  const width = (insn >> 12) & 7;
  const address = rs1(hart, insn);
  // Of the five bits the low two are 0 but for AMOSWAP, LR and SC.
  const known = (funct5 & 3) == 0 || funct5 <= SC;
  if ((width != WORD && width != DOUBLE) || !known) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  const isWord = width == WORD;
  if (address & (isWord ? 3 : 7)) {
    return raise(hart, pc, funct5 == LR ? CAUSE_MISALIGNED_LOAD : CAUSE_MISALIGNED_STORE, address);
  }
  if (funct5 == LR) return loadReserved(hart, pc, insn, address, isWord);
  if (funct5 == SC) return storeConditional(hart, pc, insn, address, isWord);
  const host = translate(hart, address, WRITE);
  if (host == 0) return raise(hart, pc, changetype<Hart>(hart).fault, address);
  const operand = rs2(hart, insn);
  const old = isWord
    ? extendWord(exchange<u32>(host, funct5, <u32>operand))
    : exchange<u64>(host, funct5, operand);
  setRd(hart, insn, old);
  return pc + 4;
}
