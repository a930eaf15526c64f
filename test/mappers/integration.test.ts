/** The code that docs/integration.md shows of the console mappers is the code that runs. */
import { readdirSync, readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const FOLDER = new URL("../../examples/mappers/", import.meta.url);

/** Lines without their indentation. */
function bare(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .join("\n");
}

const page = readFileSync(new URL("../../docs/integration.md", import.meta.url), "utf8");
const [, section] = /^## Console mappers\n([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(page)!;
const pieces = [...section!.matchAll(/```ts\n([\s\S]*?)```/g)].flatMap(([, code]) =>
  code!.trim().split("\n\n").map(bare),
);
const sources = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => bare(readFileSync(new URL(name, FOLDER), "utf8")));

const test = suite("integration page");

test("each piece of code is in a file of examples/mappers", () => {
  assert.ok(pieces.length >= 6);
  for (const piece of pieces) {
    assert.ok(
      sources.some((source) => source.includes(piece)),
      `in no file:\n${piece}`,
    );
  }
});

test.run();
