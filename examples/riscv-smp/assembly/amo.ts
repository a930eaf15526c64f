/**
 * LR, SC and the AMOs, on RAM that other harts use: wasm's own atomics, which are sequentially consistent, so
 * that aq and rl are always there.
 *
 * SC is a compare-and-swap against the value that LR saw, as in QEMU: it cannot tell a word that was changed
 * and changed back from one that nobody touched.
 */
import {
  CAUSE_ILLEGAL,
  CAUSE_LOAD_ACCESS,
  CAUSE_MISALIGNED_LOAD,
  CAUSE_MISALIGNED_STORE,
  CAUSE_STORE_ACCESS,
  getX,
  Hart,
  setX,
} from "./hart";
import { hostForRead, hostForWrite } from "./tlb";
import { raise } from "./trap";

const LR: u32 = 0x02;
const SC: u32 = 0x03;
/** No reservation: no word has this address. */
export const NO_RESERVATION: u32 = 1;

/** AMOMIN, AMOMAX, AMOMINU, AMOMAXU by funct5. */
function extreme(funct5: u32, a: u32, b: u32): u32 {
  switch (funct5) {
    case 0x10:
      return <i32>a < <i32>b ? a : b;
    case 0x14:
      return <i32>a > <i32>b ? a : b;
    case 0x18:
      return min(a, b);
    default:
      return max(a, b);
  }
}

function exchangeExtreme(host: usize, funct5: u32, b: u32): u32 {
  while (true) {
    const old = atomic.load<u32>(host);
    if (atomic.cmpxchg<u32>(host, old, extreme(funct5, old, b)) == old) return old;
  }
}

/** The word at `host` before the operation. */
function exchange(host: usize, funct5: u32, b: u32): u32 {
  switch (funct5) {
    case 0x00:
      return atomic.add<u32>(host, b);
    case 0x01:
      return atomic.xchg<u32>(host, b);
    case 0x04:
      return atomic.xor<u32>(host, b);
    case 0x08:
      return atomic.or<u32>(host, b);
    case 0x0c:
      return atomic.and<u32>(host, b);
    default:
      return exchangeExtreme(host, funct5, b);
  }
}

/** No device has reservations or AMOs. */
function refuse(hart: usize, pc: u32, address: u32, isLoad: bool): u32 {
  const misaligned = isLoad ? CAUSE_MISALIGNED_LOAD : CAUSE_MISALIGNED_STORE;
  const access = isLoad ? CAUSE_LOAD_ACCESS : CAUSE_STORE_ACCESS;
  return raise(hart, pc, address & 3 ? misaligned : access, address);
}

function loadReserved(hart: usize, pc: u32, insn: u32, address: u32): u32 {
  if ((insn >> 20) & 31) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  const host = hostForRead(hart, address, 3);
  if (host == 0) return refuse(hart, pc, address, true);
  const value = atomic.load<u32>(host);
  changetype<Hart>(hart).reservation = address;
  changetype<Hart>(hart).reservedValue = value;
  setX(hart, (insn >> 7) & 31, value);
  return pc + 4;
}

function storeConditional(hart: usize, pc: u32, insn: u32, address: u32): u32 {
  const state = changetype<Hart>(hart);
  const host = hostForWrite(hart, address, 3);
  if (host == 0) return refuse(hart, pc, address, false);
  const old = state.reservedValue;
  const done =
    state.reservation == address && atomic.cmpxchg<u32>(host, old, getX(hart, (insn >> 20) & 31)) == old;
  state.reservation = NO_RESERVATION;
  setX(hart, (insn >> 7) & 31, <u32>!done);
  return pc + 4;
}

/** Opcode AMO. Returns where to go on. */
export function executeAmo(hart: usize, pc: u32, insn: u32): u32 {
  const funct5 = insn >> 27;
  const address = getX(hart, (insn >> 15) & 31);
  // Of the five bits the low two are 0 but for AMOSWAP, LR and SC.
  const known = (funct5 & 3) == 0 || funct5 <= SC;
  if ((insn & 0x7000) != 0x2000 || !known) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  if (funct5 == LR) return loadReserved(hart, pc, insn, address);
  if (funct5 == SC) return storeConditional(hart, pc, insn, address);
  const host = hostForWrite(hart, address, 3);
  if (host == 0) return refuse(hart, pc, address, false);
  const old = exchange(host, funct5, getX(hart, (insn >> 20) & 31));
  setX(hart, (insn >> 7) & 31, old);
  return pc + 4;
}
