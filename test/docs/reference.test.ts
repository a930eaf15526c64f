/** Every public symbol of every entry is documented. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { checkReference } from "./reference.js";

const reference = suite("reference");

reference("no public symbol of the package is without documentation", async () => {
  const { findings, symbols } = await checkReference("typedoc.json");
  assert.equal(findings, []);
  assert.ok(symbols > 500, `${symbols} symbols`);
});

reference("every entry with declarations is in the reference", () => {
  const json = (name: string) => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
  const declared = Object.values(json("package.json").exports as Record<string, { types?: string }>)
    .flatMap(({ types }) => (types === undefined ? [] : [basename(types, ".d.ts")]))
    .sort();
  // A folder's index.ts is built under the folder's name.
  const documented = (json("typedoc.json").entryPoints as string[])
    .map((path) => basename(path.replace(/(?<=src\/\w+)\/index/, ""), ".ts"))
    .sort();
  assert.equal(documented, [...new Set(declared)]);
});

reference("the check finds each kind of symbol that has none", async () => {
  const { findings } = await checkReference("test/docs/undocumented/typedoc.json", [
    "test/docs/undocumented/index.ts",
  ]);
  const found = findings.map((text) => /^(?:Hidden|[\w.]+ \(\w+\))/.exec(text)?.[0]);
  assert.equal(found.sort(), [
    "Alias (TypeAlias)",
    "Hidden",
    "Shape (Interface)",
    "Shape.method (CallSignature)",
    "Shape.property (Property)",
    "Thing (Class)",
    "Thing.accessor (GetSignature)",
    "Thing.constructor (ConstructorSignature)",
    "Thing.method (CallSignature)",
    "Thing.property (Property)",
    "VARIABLE (Variable)",
    "callable (CallSignature)",
  ]);
});

reference.run();
