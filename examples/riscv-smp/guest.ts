/**
 * The guests: assembly text in guests/, assembled for the beginning of RAM.
 */
import { readFileSync } from "node:fs";
import { assemble, type Program } from "./asm/assembler.js";
import { GUEST_SYMBOLS, RAM } from "./map.js";

/** @throws Error naming file and line */
export function guestProgram(name: string): Program {
  const text = readFileSync(new URL(`./guests/${name}.s`, import.meta.url), "utf8");
  try {
    return assemble(text, RAM, GUEST_SYMBOLS);
  } catch (error) {
    throw new Error(`guests/${name}.s, ${(error as Error).message}`);
  }
}
