/**
 * What a machine has come to, as one number: FNV-1a over the picture, or over all that a program can see.
 */
import type { Nes } from "./jsnes.js";

const SEED = 0x811c9dc5;
const PRIME = 0x01000193;

/** FNV-1a over values, one step each, going on from `hash`. */
export function fold(values: ArrayLike<number>, hash = SEED): number {
  let folded = hash;
  for (let i = 0; i < values.length; i++) folded = Math.imul(folded ^ values[i]!, PRIME);
  return folded >>> 0;
}

/** Registers, cycles, RAM, and what the PPU has in its memory. */
export function stateOf({ cpu, ppu }: Nes): number {
  const registers = [cpu.REG_ACC, cpu.REG_X, cpu.REG_Y, cpu.REG_SP, cpu.REG_PC, cpu.cycles];
  return fold(ppu.vramMem, fold(cpu.mem.subarray(0, 0x800), fold(registers)));
}
