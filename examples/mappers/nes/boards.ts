/**
 * The test cartridges: for each board a program that switches its banks, assembled from roms/, and banks full
 * of seeded noise, in the iNES format (nesdev.org/wiki/INES).
 */
import { readFileSync } from "node:fs";
import { random } from "../../../test/support/random.js";
import { assemble } from "./assembler.js";

export interface Board {
  readonly name: string;
  /** iNES mapper number. */
  readonly mapper: number;
  /** Program ROM in units of 16 KiB. */
  readonly prgBanks: number;
  /** Pattern ROM in units of 8 KiB; none means RAM. */
  readonly chrBanks: number;
  /** Bytes of program that are switched at a time, 0 for none. */
  readonly prgWindow: number;
  /** Bytes of patterns that are switched at a time, 0 for none. */
  readonly chrWindow: number;
}

const KIB = 1024;
const BANK_BYTES = 16 * KIB;
const CHR_BYTES = 8 * KIB;
/** The smallest bank of program that any board switches; each has a head of its own. */
const HEAD_SPACING = 8 * KIB;
/** Behind the head of the bank that it is in. It leaves the head of the next one free, at 0xe000. */
const PROGRAM_ORIGIN = 0xc010;

function board(
  name: string,
  mapper: number,
  [prgBanks, prgWindow]: readonly [number, number],
  [chrBanks, chrWindow]: readonly [number, number],
): Board {
  return { name, mapper, prgBanks, chrBanks, prgWindow, chrWindow };
}

export const BOARDS: readonly Board[] = [
  board("NROM", 0, [2, 0], [1, 0]),
  board("MMC1", 1, [8, 16 * KIB], [8, 4 * KIB]),
  board("UxROM", 2, [8, 16 * KIB], [0, 0]),
  board("CNROM", 3, [2, 0], [4, 8 * KIB]),
  board("MMC3", 4, [8, 8 * KIB], [4, 1 * KIB]),
  board("AxROM", 7, [16, 32 * KIB], [0, 0]),
  board("GxROM", 66, [8, 32 * KIB], [4, 8 * KIB]),
];

function source(name: string): string {
  return readFileSync(new URL(`roms/${name}.s`, import.meta.url), "utf8");
}

/** The board's cartridge, the same bytes for the same seed. */
export function cartridge({ name, mapper, prgBanks, chrBanks, prgWindow }: Board, seed = 1): Uint8Array {
  const header = [0x4e, 0x45, 0x53, 0x1a, prgBanks, chrBanks, (mapper & 0xf) << 4, mapper & 0xf0];
  const prgBytes = prgBanks * BANK_BYTES;
  const rom = new Uint8Array(16 + prgBytes + chrBanks * CHR_BYTES);
  const noise = random(seed);
  for (let i = 16; i < rom.length; i++) rom[i] = noise.int(256);
  rom.set(header.concat(new Array(8).fill(0)));
  const prg = rom.subarray(16, 16 + prgBytes);
  const program = assemble(`${source(name.toLowerCase())}\n${source("program")}`, PROGRAM_ORIGIN);
  // Boards that switch all 32 KiB find the program in the upper half of each bank.
  const every = prgWindow === 2 * BANK_BYTES ? prgWindow : prgBytes;
  for (let end = every; end <= prgBytes; end += every) prg.set(program, end - program.length);
  const head = source("bank");
  for (let at = 0, bank = 0; at < prgBytes; at += HEAD_SPACING, bank++) {
    prg.set(assemble(head, 0x8000, { BANK: (7 * bank + 1) & 0xff, KEY: noise.int(256) }), at);
  }
  return rom;
}
