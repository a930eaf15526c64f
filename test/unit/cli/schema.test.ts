/**
 * docs/command-line.schema.json is what the commands print with --json: every file of test/traces is printed and
 * validated, and every property of the schema is printed by one of them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runCommand } from "../../support/commandline.js";
import { tempFile } from "../../support/tempfile.js";

const ROOT = new URL("../../../", import.meta.url);
const SCHEMA = JSON.parse(readFileSync(new URL("docs/command-line.schema.json", ROOT), "utf8"));
const ajv = new Ajv2020({ strict: true, strictRequired: false });
ajv.addSchema(SCHEMA, "all");
const seen = new Set<string>();

/** Every name of a property that a value has. */
function note(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    if (!Array.isArray(value)) seen.add(name);
    note(inner);
  }
}

async function check(what: string, args: readonly string[]): Promise<void> {
  const { stdout } = await runCommand(args);
  if (stdout === "") return;
  const value = JSON.parse(stdout) as unknown;
  note(value);
  const validate = ajv.getSchema(`all#/$defs/${what}`)!;
  assert.ok(validate(value), `${args.join(" ")}: ${ajv.errorsText(validate.errors)}`);
}

const path = (name: string) => fileURLToPath(new URL(`test/traces/${name}`, ROOT));
const formats = readdirSync(path("formats")).map((name) => path(`formats/${name}`));
const boots = ["microvm-1g", "pc-1g-reset"].map((name) => path(`qemu/${name}.jsonl.gz`));
const dump = tempFile(
  "json",
  JSON.stringify({
    title: "a board",
    hosts: { r: "0x10000" },
    mappings: [
      {
        asId: 0,
        flags: 1,
        gpa: "0x0",
        size: "0x2000",
        block: "r",
        off: "0x0",
        slot: 3,
        dirty: "AwAAAAAAAAA=",
      },
      { asId: 0, flags: 0, gpa: "0x2000", size: "0x1000", block: "host", named: true, off: "0x0", slot: 4 },
      { asId: 0, flags: 0, gpa: "0x4000", size: "0x10", mmio: "uart", off: "0x0" },
    ],
  }),
);

test("what the commands print is of the schema", async () => {
  for (const file of [...formats, ...boots, dump]) {
    await check("show", ["show", "--json", file]);
    await check("list", ["show", "--list", "--json", file]);
    await check("export", ["export", "--json", file]);
    await check("diff", ["diff", "--json", file, boots[0]!]);
    await check("replay", ["replay", "--json", file]);
  }
  await check("replay", ["replay", "--json", "--vcpus", "1", boots[0]!]);
});

test("what is in the schema is printed", () => {
  const names = new Set<string>();
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { properties } = value as { properties?: object };
    for (const name of Object.keys(properties ?? {})) names.add(name);
    Object.values(value).forEach(walk);
  };
  walk(SCHEMA);
  assert.equal(
    [...names].filter((name) => !seen.has(name)),
    [],
  );
});

test("each property has a type, and what has another is refused", () => {
  const validate = ajv.getSchema("all#/$defs/show")!;
  assert.ok(validate({ title: "t", notes: [], mappings: [] }));
  assert.not(validate({ title: "t", notes: [], mappings: [{}] }));
  assert.not(validate({ title: "t", notes: [], mappings: [], more: 1 }));
});

test.run();
