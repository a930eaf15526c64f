/**
 * The test program: program.s, and program.hex, which is what the GNU assembler makes of it.
 *
 * `node --import tsx examples/mappers/rp2040/program.ts` writes program.hex anew; needs Debian's
 * binutils-arm-none-eabi.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("program.s", import.meta.url));
const HEX = fileURLToPath(new URL("program.hex", import.meta.url));
const FLASH = "0x10000000";
const LINE_BYTES = 32;

/** The bytes of program.hex. */
export function programImage(): Uint8Array {
  return Uint8Array.from(Buffer.from(readFileSync(HEX, "utf8").replaceAll("\n", ""), "hex"));
}

/** The bytes that program.s is assembled to now. @throws Error with code ENOENT without the GNU assembler */
export function assembleProgram(): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "rp2040-"));
  const path = (name: string) => join(folder, name);
  try {
    execFileSync("arm-none-eabi-as", [SOURCE, "-o", path("o")]);
    execFileSync("arm-none-eabi-ld", ["-Ttext", FLASH, "-e", FLASH, path("o"), "-o", path("elf")]);
    execFileSync("arm-none-eabi-objcopy", ["-O", "binary", path("elf"), path("bin")]);
    return Uint8Array.from(readFileSync(path("bin")));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const hex = Buffer.from(assembleProgram()).toString("hex");
  writeFileSync(HEX, hex.replace(new RegExp(`.{1,${2 * LINE_BYTES}}`, "g"), "$&\n"));
}
