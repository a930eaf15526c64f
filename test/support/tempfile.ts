/** Files that live as long as the test process. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directory = mkdtempSync(join(tmpdir(), "memslots-test-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
let files = 0;

/** Write a file under a unique name. @returns its path */
export function tempFile(extension: string, content: string | Uint8Array): string {
  const path = join(directory, `${files++}.${extension}`);
  writeFileSync(path, content);
  return path;
}

/** A file of JSON lines. A string is written unchanged, so that a line can be broken. */
export function jsonlFile(lines: readonly (string | object)[]): string {
  const texts = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line)));
  return tempFile("jsonl", `${texts.join("\n")}\n`);
}
