/** Every public symbol of every entry is documented. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { checkReference } from "./reference.js";

const reference = suite("reference");

reference("no public symbol of the package is without documentation", async () => {
  const { findings, symbols } = await checkReference("typedoc.json");
  assert.equal(findings, []);
  assert.ok(symbols > 500, `${symbols} symbols`);
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
