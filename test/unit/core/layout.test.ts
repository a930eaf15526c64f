/** The generated half of the memory map is the one that the core was built from. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { generate } from "../../../assembly/layout.gen.mjs";
import { ERRNO } from "../../../src/kvm/errno.js";
import * as uapi from "../../../src/kvm/uapi.js";

const text = (name: string) => readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8");

test("src/core/layout.ts and the headers of include/ are what the generator writes", async () => {
  const generated = await generate();
  assert.equal(Object.keys(generated), [
    "src/core/constants.ts",
    "src/core/layout.ts",
    "src/core/exports.ts",
    "include/memslots.h",
    "include/memslots.rs",
  ]);
  for (const [path, expected] of Object.entries(generated)) assert.is(text(path), expected, path);
});

test("the error numbers of the core are those of the facade", () => {
  const core = [...text("assembly/errno.ts").matchAll(/export const (\w+): i32 = -?(\d+);/g)];
  assert.ok(core.length > 8);
  for (const [, name, number] of core) {
    if (name !== "OK") assert.is(ERRNO[name as keyof typeof ERRNO], Number(number), name);
  }
});

test("the flags of the core are those of the facade", () => {
  const constants = [...text("assembly/validate.ts").matchAll(/export const (KVM_\w+): u32 = (\d+);/g)];
  assert.ok(constants.length >= 3);
  const facade = new Map<string, unknown>(Object.entries(uapi));
  for (const [, name, number] of constants) assert.is(facade.get(name!), Number(number), name);
});

test.run();
