/**
 * Loads and stores. Those that find no RAM leave to the machine, whose devices are where no slot is.
 */
import {
  CAUSE_ILLEGAL,
  CAUSE_LOAD_ACCESS,
  CAUSE_MISALIGNED_LOAD,
  CAUSE_MISALIGNED_STORE,
  CAUSE_STORE_ACCESS,
  EXIT_LOAD,
  EXIT_STORE,
  getX,
  Hart,
  setX,
} from "./hart";
import { hostForRead, hostForWrite } from "./tlb";
import { raise } from "./trap";

/** Bytes of a load or store by funct3, less one. */
function alignOf(funct3: u32): u32 {
  return ((<u32>1) << (funct3 & 3)) - 1;
}

/** What a load of `funct3` makes of the bytes at `host`. */
function loadAs(funct3: u32, host: usize): u32 {
  switch (funct3) {
    case 0:
      return <u32>(<i32>load<i8>(host));
    case 1:
      return <u32>(<i32>load<i16>(host));
    case 4:
      return load<u8>(host);
    case 5:
      return load<u16>(host);
    default:
      return load<u32>(host);
  }
}

function storeAs(funct3: u32, host: usize, value: u32): void {
  switch (funct3) {
    case 0:
      store<u8>(host, value);
      break;
    case 1:
      store<u16>(host, value);
      break;
    default:
      store<u32>(host, value);
  }
}

function leave(hart: usize, pc: u32, insn: u32, address: u32, exit: i32): u32 {
  const state = changetype<Hart>(hart);
  state.exit = exit;
  state.exitAddress = address;
  state.exitBytes = alignOf(insn >> 12) + 1;
  state.exitInsn = insn;
  // Retires when it is completed.
  state.instret -= 1;
  return pc;
}

function missedLoad(hart: usize, pc: u32, insn: u32, address: u32): u32 {
  const funct3 = (insn >> 12) & 7;
  if (funct3 == 3 || funct3 > 5) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  if (address & alignOf(funct3)) return raise(hart, pc, CAUSE_MISALIGNED_LOAD, address);
  return leave(hart, pc, insn, address, EXIT_LOAD);
}

function missedStore(hart: usize, pc: u32, insn: u32, address: u32): u32 {
  const funct3 = (insn >> 12) & 7;
  if (funct3 > 2) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  if (address & alignOf(funct3)) return raise(hart, pc, CAUSE_MISALIGNED_STORE, address);
  changetype<Hart>(hart).exitValue = getX(hart, (insn >> 20) & 31);
  return leave(hart, pc, insn, address, EXIT_STORE);
}

/** Opcode LOAD. Returns where to go on. */
export function executeLoad(hart: usize, pc: u32, insn: u32): u32 {
  const funct3 = (insn >> 12) & 7;
  const address = getX(hart, (insn >> 15) & 31) + <u32>(<i32>insn >> 20);
  const host = inline.always(hostForRead(hart, address, alignOf(funct3)));
  // Funct3 of no instruction: 3 asks for 8 bytes, the rest is looked at here.
  if (host == 0 || funct3 == 3 || funct3 > 5) return missedLoad(hart, pc, insn, address);
  setX(hart, (insn >> 7) & 31, inline.always(loadAs(funct3, host)));
  return pc + 4;
}

/** Opcode STORE. Returns where to go on. */
export function executeStore(hart: usize, pc: u32, insn: u32): u32 {
  const funct3 = (insn >> 12) & 7;
  const offset = ((<u32>(<i32>insn >> 25)) << 5) | ((insn >> 7) & 31);
  const address = getX(hart, (insn >> 15) & 31) + offset;
  const host = inline.always(hostForWrite(hart, address, alignOf(funct3)));
  if (host == 0 || funct3 > 2) return missedStore(hart, pc, insn, address);
  inline.always(storeAs(funct3, host, getX(hart, (insn >> 20) & 31)));
  return pc + 4;
}

/** The machine has the value of a load that exited. */
export function completeLoad(hart: usize, value: u32): void {
  const state = changetype<Hart>(hart);
  const funct3 = (state.exitInsn >> 12) & 7;
  const shift = (4 - state.exitBytes) << 3;
  const high = value << shift;
  setX(hart, (state.exitInsn >> 7) & 31, funct3 & 4 ? high >> shift : <u32>(<i32>high >> shift));
  completeStore(hart);
}

/** The machine has done the store that exited. */
export function completeStore(hart: usize): void {
  const state = changetype<Hart>(hart);
  state.pc += 4;
  state.instret += 1;
}

/** There is nothing where a load or store exited to. */
export function refuseAccess(hart: usize): void {
  const state = changetype<Hart>(hart);
  const cause = state.exit == EXIT_LOAD ? CAUSE_LOAD_ACCESS : CAUSE_STORE_ACCESS;
  // It was never counted: raise takes away what a section adds.
  state.instret += 1;
  state.pc = raise(hart, state.pc, cause, state.exitAddress);
}
