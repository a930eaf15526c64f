/** The code blocks of the documents. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface Block {
  readonly language: string;
  /** Name of the file that the block is, from `file=NAME` behind the language. */
  readonly file: string | undefined;
  /** Path of the file that the block quotes, from a first line `// PATH`, which is not of the text. */
  readonly quoted: string | undefined;
  readonly text: string;
}

/** README.md and docs/*.md, as paths from the root. */
export const DOCUMENTS: readonly string[] = [
  "README.md",
  ...readdirSync(`${ROOT}docs`)
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** @param document path from the root */
export function blocksOf(document: string): Block[] {
  const text = readFileSync(`${ROOT}${document}`, "utf8");
  const fence = /^```(\w*)(?: file=(\S+))?\n(?:\/\/ (\S+\/\S+\.[tj]s)\n)?(.*?)^```$/gms;
  return [...text.matchAll(fence)].map(([, language, file, quoted, content]) => ({
    language: language!,
    file,
    quoted,
    text: content!,
  }));
}

/** Each block that is a file, by its name. */
export function filesOf(document: string): ReadonlyMap<string, string> {
  return new Map(
    blocksOf(document).flatMap(({ file, text }) => (file === undefined ? [] : [[file, text] as const])),
  );
}
