/** Where results go that a user may name a file for. */
import { writeFileSync } from "node:fs";
import { InputError } from "./jsonl.js";

/** Write a file, or standard output for "-". @throws InputError if the file cannot be written */
export function writeOut(file: string, content: string | Uint8Array): void {
  if (file === "-") {
    process.stdout.write(content);
    return;
  }
  try {
    writeFileSync(file, content);
  } catch (error) {
    throw new InputError(file, undefined, `cannot be written: ${(error as Error).message}`);
  }
}
