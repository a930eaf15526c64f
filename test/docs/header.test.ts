/** The headers of include/ against the layout that JavaScript uses, as compilers see it, and against wasm. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";
import { KVM_MEM_LOG_DIRTY_PAGES, MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { buildRust, findRust } from "../../examples/rust/build.js";
import { buildC, hasClang } from "../../examples/wasm-vcpu/build.mjs";
import type { EngineExports } from "../../src/core/exports.js";
import * as layout from "../../src/core/layout.js";
import { dirtyPages } from "../support/bitmap.js";
import { filesOf } from "./blocks.js";

const INCLUDE = fileURLToPath(new URL("../../include", import.meta.url));
const NO_RUST = "no rustc for wasm32-unknown-unknown";
const snake = (text: string) => text.toLowerCase();

/** A translation unit that holds only if the header agrees with src/core/layout.ts, `shift` bytes moved. */
function assertions(shift: number): string {
  const lines = ["#include <stddef.h>", '#include "memslots.h"'];
  for (const [name, value] of Object.entries(layout)) {
    // The objects have the same offsets.
    if (name.endsWith("_OFFSET")) continue;
    if (typeof value === "number") {
      lines.push(`_Static_assert(MEMSLOTS_${name} == ${value + shift}u, "${name}");`);
      continue;
    }
    for (const [field, offset] of Object.entries(value)) {
      const at = `offsetof(struct memslots_${snake(name)}, ${field})`;
      lines.push(`_Static_assert(${at} == ${offset + shift}, "${name}.${field}");`);
    }
  }
  return `${lines.join("\n")}\n`;
}

const header = suite("header");

header("constants and offsets are those of src/core/layout.ts, and the comparison notices others", () => {
  const compiler = ["cc", "gcc"].find((name) => spawnSync(name, ["--version"]).status === 0);
  if (compiler === undefined) {
    console.log("\nskipped: no C compiler");
    return;
  }
  const check = (input: string) =>
    spawnSync(
      compiler,
      [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fmax-errors=0",
        "-fsyntax-only",
        `-I${INCLUDE}`,
        "-x",
        "c",
        "-",
      ],
      {
        input,
        encoding: "utf8",
      },
    );
  const { status, stderr } = check(assertions(0));
  assert.is(status, 0, stderr);
  const other = check(assertions(1));
  assert.is.not(other.status, 0);
  const count = (text: string) => text.split(/static assertion failed/i).length - 1;
  assert.is(
    count(other.stderr),
    count(assertions(1).replaceAll("_Static_assert", "static assertion failed")),
  );
});

header("C++ takes the header, too", () => {
  const compiler = ["c++", "g++"].find((name) => spawnSync(name, ["--version"]).status === 0);
  if (compiler === undefined) {
    console.log("\nskipped: no C++ compiler");
    return;
  }
  const flags = [
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fsyntax-only",
    `-I${INCLUDE}`,
    "-x",
    "c++",
    "-",
  ];
  const probe = "memslots_probeTlb(tlb, gpa, 4, MEMSLOTS_TLB_READ)";
  const input = `#include "memslots.h"\nuint64_t probe(uint32_t tlb, uint64_t gpa) { return ${probe}; }\n`;
  const { status, stderr } = spawnSync(compiler, flags, { input, encoding: "utf8" });
  assert.is(status, 0, stderr);
});

header("every function of the header is one of the core, with its types", async () => {
  if (!hasClang()) {
    console.log("\nskipped: no clang for wasm32");
    return;
  }
  const engine = await MemslotEngine.create();
  const names = WebAssembly.Module.exports(engine.handle.module).map(({ name }) => name);
  // Each function in a table: the linker must import it, and WebAssembly compares the types when it links.
  const source = [
    '#include "memslots.h"',
    `void *volatile functions[] = {${names.map((name) => `(void *)memslots_${name}`).join(", ")}};`,
    '__attribute__((export_name("count"))) int count(void) { return sizeof functions / sizeof *functions; }',
    '__attribute__((export_name("used"))) void *used(int i) { return functions[i]; }',
  ].join("\n");
  const module = new WebAssembly.Module(buildC("source.c", source));
  const imported = WebAssembly.Module.imports(module).filter((entry) => entry.module === "memslots");
  assert.equal(imported.map(({ name }) => name).sort(), [...names].sort());
  const { memory } = engine;
  const core = new WebAssembly.Instance(engine.handle.module, { env: { memory } }).exports;
  const { exports } = new WebAssembly.Instance(module, {
    env: { memory: new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true }) },
    memslots: core,
  });
  assert.is((exports as { count(): number }).count(), names.length);
});

/** A crate that exports what it knows of the layout: constants by name, offsets by structure and field. */
function rustLayout(): string {
  const lines = ["#![no_std]", '#[path = "node_modules/memslots/include/memslots.rs"]', "mod memslots;"];
  const pascal = (text: string) =>
    text.toLowerCase().replace(/(?:^|_)(\w)/g, (_, first: string) => first.toUpperCase());
  const field = (text: string) => text.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
  for (const [name, value] of Object.entries(layout)) {
    if (name.endsWith("_OFFSET")) continue;
    const start = (as: string) => `#[no_mangle] pub extern "C" fn ${as}() -> u32 {`;
    if (typeof value === "number") lines.push(`${start(name)} memslots::${name} }`);
    else {
      for (const member of Object.keys(value)) {
        lines.push(
          `${start(`${name}_${member}`)} let of = core::mem::MaybeUninit::<memslots::${pascal(name)}>::uninit();`,
          `  (unsafe { core::ptr::addr_of!((*of.as_ptr()).${field(member)}) } as u32) - of.as_ptr() as u32 }`,
        );
      }
    }
  }
  return `${["#![allow(non_snake_case)]", ...lines].join("\n")}\n${PANIC}`;
}

const PANIC =
  "#[panic_handler] fn panic(_: &core::panic::PanicInfo) -> ! { core::arch::wasm32::unreachable() }\n";

header("constants and offsets of memslots.rs are those of src/core/layout.ts", () => {
  const rustc = findRust();
  if (rustc === undefined) {
    console.log(`\nskipped: ${NO_RUST}`);
    return;
  }
  const module = new WebAssembly.Module(buildRust(rustc, { text: rustLayout() }));
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const rust = exports as unknown as Record<string, () => number>;
  let compared = 0;
  for (const [name, value] of Object.entries(layout)) {
    if (name.endsWith("_OFFSET")) continue;
    const parts = typeof value === "number" ? { [name]: value } : value;
    for (const [part, expected] of Object.entries(parts)) {
      const as = typeof value === "number" ? name : `${name}_${part}`;
      assert.is(rust[as]!() >>> 0, expected, as);
      compared++;
    }
  }
  assert.ok(compared > 200, `${compared}`);
});

header("every function of memslots.rs is one of the core, with its types", async () => {
  const rustc = findRust();
  if (rustc === undefined) {
    console.log(`\nskipped: ${NO_RUST}`);
    return;
  }
  const engine = await MemslotEngine.create();
  const names = WebAssembly.Module.exports(engine.handle.module).map(({ name }) => name);
  const snakes = names.map((name) => name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase());
  const source = [
    "#![no_std]",
    '#[path = "node_modules/memslots/include/memslots.rs"]',
    "mod memslots;",
    '#[no_mangle] pub extern "C" fn used(i: usize) -> usize {',
    `  [${snakes.map((name) => `memslots::${name} as usize`).join(", ")}][i]`,
    "}",
    PANIC,
  ].join("\n");
  const module = new WebAssembly.Module(buildRust(rustc, { text: source }));
  const imported = WebAssembly.Module.imports(module).filter((entry) => entry.module === "memslots");
  assert.equal(imported.map(({ name }) => name).sort(), [...names].sort());
  const core = new WebAssembly.Instance(engine.handle.module, { env: { memory: engine.memory } }).exports;
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, memslots: core });
  const { used } = exports as unknown as { used(i: number): number };
  assert.is(new Set(names.map((_, i) => used(i))).size, names.length);
});

header("the engine that the C program of docs/abi.md makes answers", async () => {
  if (!hasClang()) {
    console.log("\nskipped: no clang for wasm32");
    return;
  }
  const module = new WebAssembly.Module(buildC("source.c", filesOf("docs/abi.md").get("vmm.c")));
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const engine = await MemslotEngine.create();
  const memslots = new WebAssembly.Instance(engine.handle.module, { env: { memory } }).exports;
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, memslots });
  assert.is((exports as { run(): number }).run(), 0x20234);
  // And it is one that JavaScript can attach to.
  const same = await MemslotEngine.attach({ module: engine.handle.module, memory, base: 0x40000 });
  assert.equal(same.slots(), [
    { slot: 0, flags: 0, guestPhysAddr: 0x1000, memorySize: 0x4000, userspaceAddr: 0x20000 },
  ]);
});

for (const [kind, build] of Object.entries({
  C: () => (hasClang() ? buildC("source.c", filesOf("docs/abi.md").get("tlb.c")) : "no clang for wasm32"),
  Rust: () => {
    const rustc = findRust();
    return rustc === undefined ? NO_RUST : buildRust(rustc, { text: filesOf("docs/abi.md").get("tlb.rs")! });
  },
  WAT: () => {
    const text = binaryen.parseText(filesOf("docs/abi.md").get("tlb.wat")!);
    text.setFeatures(binaryen.Features.All);
    return text.emitBinary() as Uint8Array<ArrayBuffer>;
  },
})) {
  header(`the probe in ${kind} of docs/abi.md hits what was filled, and only that`, async () => {
    const bytes = build();
    if (typeof bytes === "string") {
      console.log(`\nskipped: ${bytes}`);
      return;
    }
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 64, shared: true });
    const engine = await MemslotEngine.create({ memory, base: 0x80000 });
    const RAM = 0x10000;
    engine.setUserMemoryRegion({
      ...{ slot: 0, flags: KVM_MEM_LOG_DIRTY_PAGES, guestPhysAddr: 0x80000000 },
      ...{ memorySize: 0x10000, userspaceAddr: RAM },
    });
    const vcpu = engine.vcpu({ tlbEntries: 64 });
    const core = new WebAssembly.Instance(engine.handle.module, { env: { memory } })
      .exports as unknown as EngineExports;
    let fills = 0;
    const fillTlb = (reader: number, gpa: number, access: number) => {
      fills++;
      return core.fillTlb(reader, gpa, access);
    };
    const memslots = { ...core, fillTlb } as unknown as WebAssembly.ModuleImports;
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      env: { memory },
      memslots,
    });
    const guest = exports as unknown as {
      load(reader: number, tlb: number, gpa: number): number;
      store?(reader: number, tlb: number, gpa: number, value: number): number;
    };
    const tlb = core.tlbOf(vcpu.reader);
    const words = new Uint32Array(memory.buffer);
    vcpu.enter();
    for (let offset = 0; offset < 0x10000; offset += 4) {
      words[(RAM + offset) / 4] = offset ^ 0x1234567;
      assert.is(guest.load(vcpu.reader, tlb, (0x80000000 + offset) | 0), offset ^ 0x1234567);
    }
    assert.is(fills, 16, "one for each page");
    for (const gpa of [0x7ffffffc, 0x80010000, 0, 0xfffffffc, 0x80000002])
      assert.is(guest.load(vcpu.reader, tlb, gpa | 0), -1);
    if (guest.store !== undefined) {
      for (const value of [7, 8]) assert.is(guest.store(vcpu.reader, tlb, 0x80003004 | 0, value), 1);
      assert.is(words[(RAM + 0x3004) / 4], 8);
      assert.is(guest.store(vcpu.reader, tlb, 0x80010000 | 0, 1), 0);
    }
    vcpu.exit();
    assert.equal(dirtyPages(engine.getDirtyLog(0)), guest.store === undefined ? [] : [3]);
    vcpu.release();
    engine.close();
  });
}

header.run();
