/**
 * Loads and stores of integers and floats. `funct3` says what: 0 to 3 are 1 to 8 bytes, signed; 4 to 6 are loads
 * without a sign.
 *
 * What hits in the table is done in run.ts at once; the rest comes here: pages that are not entered yet, accesses that
 * are not aligned, devices, faults.
 */
import {
  CAUSE_LOAD_ACCESS,
  CAUSE_STORE_ACCESS,
  EXIT_LOAD,
  EXIT_STORE,
  getF,
  getX,
  Hart,
  rs1,
  setF,
  setX,
} from "./hart";
import { PAGE_BYTES, READ, translate, WRITE } from "./mmu";
import { raise } from "./trap";

const OPCODE_LOAD_FP: u32 = 0x07;
const OPCODE_STORE_FP: u32 = 0x27;
const OPCODE: u32 = 0x7f;
/** A float of 32 bits in a register of 64. */
export const BOX: u64 = 0xffff_ffff_0000_0000;

export function loadOffset(insn: u32): u64 {
  return <u64>(<i64>(<i32>insn >> 20));
}

export function storeOffset(insn: u32): u64 {
  return <u64>(<i64>((<i32>insn >> 25) << 5)) | ((insn >> 7) & 31);
}

/** What a load of `raw` puts into a register: the sign is extended, or a float boxed. */
function finishLoad(hart: usize, insn: u32, raw: u64): void {
  const funct3 = (insn >> 12) & 7;
  const register = (insn >> 7) & 31;
  if ((insn & OPCODE) == OPCODE_LOAD_FP) {
    setF(hart, register, funct3 == 2 ? raw | BOX : raw);
    return;
  }
  const shift = <u64>(64 - (8 << (funct3 & 3)));
  const high = raw << shift;
  setX(hart, register, funct3 & 4 ? high >> shift : <u64>(<i64>high >> shift));
}

function storedValue(hart: usize, insn: u32): u64 {
  const register = (insn >> 20) & 31;
  return (insn & OPCODE) == OPCODE_STORE_FP ? getF(hart, register) : getX(hart, register);
}

function refuse(hart: usize, pc: u64, address: u64): u64 {
  return raise(hart, pc, changetype<Hart>(hart).fault, address);
}

/** Let the machine do an access to what is no RAM. Returns `pc`, because the hart does not move on. */
function leave(hart: usize, pc: u64, insn: u32, length: u32, bytes: u32, reason: i32): u64 {
  const state = changetype<Hart>(hart);
  state.exit = reason;
  state.exitInsn = insn;
  state.exitLength = length;
  state.exitBytes = bytes;
  // It is counted once it is complete.
  state.instret -= 1;
  return pc;
}

/** A load that the table does not know. `length`: bytes of the instruction. Returns where to go on. */
export function loadSlowly(hart: usize, pc: u64, insn: u32, length: u32): u64 {
  const state = changetype<Hart>(hart);
  const address = rs1(hart, insn) + loadOffset(insn);
  const bytes: u32 = 1 << ((insn >> 12) & 3);
  if ((<u32>address & (PAGE_BYTES - 1)) + bytes > PAGE_BYTES)
    return loadAcross(hart, pc, insn, length, address);
  const host = translate(hart, address, READ);
  if (host == 0) {
    if (state.fault != CAUSE_LOAD_ACCESS || state.exitAddress == u64.MAX_VALUE)
      return refuse(hart, pc, address);
    state.stval = address;
    return leave(hart, pc, insn, length, bytes, EXIT_LOAD);
  }
  const raw =
    bytes == 1
      ? <u64>load<u8>(host)
      : bytes == 2
        ? <u64>load<u16>(host)
        : bytes == 4
          ? <u64>load<u32>(host)
          : load<u64>(host);
  finishLoad(hart, insn, raw);
  return pc + length;
}

/** A load over the end of a page, byte by byte. */
function loadAcross(hart: usize, pc: u64, insn: u32, length: u32, address: u64): u64 {
  const bytes = <u64>(1 << ((insn >> 12) & 3));
  let raw: u64 = 0;
  for (let i: u64 = 0; i < bytes; i++) {
    const host = translate(hart, address + i, READ);
    if (host == 0) return refuse(hart, pc, address + i);
    raw |= (<u64>load<u8>(host)) << (i << 3);
  }
  finishLoad(hart, insn, raw);
  return pc + length;
}

/** A store that the table does not know. */
export function storeSlowly(hart: usize, pc: u64, insn: u32, length: u32): u64 {
  const state = changetype<Hart>(hart);
  const address = rs1(hart, insn) + storeOffset(insn);
  const bytes: u32 = 1 << ((insn >> 12) & 3);
  if ((<u32>address & (PAGE_BYTES - 1)) + bytes > PAGE_BYTES)
    return storeAcross(hart, pc, insn, length, address);
  const host = translate(hart, address, WRITE);
  const value = storedValue(hart, insn);
  if (host == 0) {
    if (state.fault != CAUSE_STORE_ACCESS || state.exitAddress == u64.MAX_VALUE)
      return refuse(hart, pc, address);
    state.exitValue = value;
    state.stval = address;
    return leave(hart, pc, insn, length, bytes, EXIT_STORE);
  }
  if (bytes == 1) store<u8>(host, <u8>value);
  else if (bytes == 2) store<u16>(host, <u16>value);
  else if (bytes == 4) store<u32>(host, <u32>value);
  else store<u64>(host, value);
  return pc + length;
}

function storeAcross(hart: usize, pc: u64, insn: u32, length: u32, address: u64): u64 {
  const bytes = <u64>(1 << ((insn >> 12) & 3));
  // Both pages, before a byte of either is changed.
  const end = address + bytes - 1;
  if (translate(hart, address, WRITE) == 0) return refuse(hart, pc, address);
  if (translate(hart, end, WRITE) == 0) return refuse(hart, pc, end & ~(<u64>PAGE_BYTES - 1));
  const value = storedValue(hart, insn);
  for (let i: u64 = 0; i < bytes; i++)
    store<u8>(translate(hart, address + i, WRITE), <u8>(value >> (i << 3)));
  return pc + length;
}

/** The machine has the value of a load that exited. */
export function completeLoad(hart: usize, value: u64): void {
  finishLoad(hart, changetype<Hart>(hart).exitInsn, value);
  completeStore(hart);
}

/** The machine has done the store that exited. */
export function completeStore(hart: usize): void {
  const state = changetype<Hart>(hart);
  state.pc += state.exitLength;
  state.instret += 1;
}

/** There is nothing where a load or store exited to. `stval` has its virtual address. */
export function refuseAccess(hart: usize): void {
  const state = changetype<Hart>(hart);
  const cause = state.exit == EXIT_LOAD ? CAUSE_LOAD_ACCESS : CAUSE_STORE_ACCESS;
  // It was never counted: raise takes away what a section adds.
  state.instret += 1;
  state.pc = raise(hart, state.pc, cause, state.stval);
}
