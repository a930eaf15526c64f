/**
 * The code blocks of README.md and docs/*.md are true:
 *
 *   ```js               runs, and prints the ```text block behind it
 *   ```ts               compiles against the package's declarations
 *                       behind a first line "// PATH" both are quotations: that file has each piece between empty
 *                       lines, at any indentation
 *   ```LANGUAGE file=F  is a file: all of a document's lie in one folder, from which memslots can be imported
 *   ```console          `$ node ...` prints the lines below it, in that folder if its program is one of the files
 *
 * Other blocks are drawings and commands of a shell. examples.test.ts opens the pages.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { buildC, buildWat, hasClang } from "../../examples/wasm-vcpu/build.mjs";
import { blocksOf, DOCUMENTS, filesOf, ROOT } from "./blocks.js";
import { typeErrors } from "./typecheck.js";

/** Packages that a document's programs may import beside memslots. */
const PEERS = ["binaryen"];

function node(folder: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  assert.is(status, 0, stderr);
  return stdout;
}

/** Call `work` with a folder that has the document's files and its packages. */
function inFolder(document: string, work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "memslots-document-"));
  try {
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(ROOT, join(folder, "node_modules", "memslots"));
    for (const name of PEERS) symlinkSync(`${ROOT}node_modules/${name}`, join(folder, "node_modules", name));
    for (const [name, text] of filesOf(document)) writeFileSync(join(folder, name), text);
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const documents = suite("documents");

for (const document of DOCUMENTS) {
  const blocks = blocksOf(document);
  const files = filesOf(document);
  blocks.forEach(({ language, file, quoted, text }, i) => {
    if (language === "js" && file === undefined && quoted === undefined) {
      documents(`${document}: block ${i} runs, and a text block behind it is what it prints`, () => {
        const output = node(ROOT, "--input-type=module", "--eval", text);
        const next = blocks[i + 1];
        if (next?.language === "text") assert.is(output, next.text);
      });
    }
    const shown = language === "console" ? /^\$ node ([^\n]+)\n(.*)$/s.exec(text) : null;
    if (shown === null) return;
    const args = shown[1]!.split(" ");
    const expected = shown[2]!.trimEnd();
    documents(`${document}: node ${args.join(" ")} prints what is shown`, () => {
      if (!files.has(args[0]!)) assert.is(node(ROOT, ...args).trimEnd(), expected);
      else inFolder(document, (folder) => assert.is(node(folder, ...args).trimEnd(), expected));
    });
  });
  for (const [name, text] of files) {
    if (!/\.(wat|c)$/.test(name)) continue;
    documents(`${document}: ${name} becomes WebAssembly`, () => {
      if (name.endsWith(".wat")) assert.ok(WebAssembly.validate(buildWat(text)));
      else if (hasClang()) assert.ok(WebAssembly.validate(buildC("source.c", text)));
      else console.log(`\nskipped: no clang for wasm32, ${name} of ${document}`);
    });
  }
}

const TYPESCRIPT = DOCUMENTS.flatMap((document) =>
  blocksOf(document).filter(({ language, quoted }) => language === "ts" && quoted === undefined),
).map(({ text }) => text);

/** Lines without their indentation. */
const bare = (text: string): string => text.replace(/^ +/gm, "").trim();

for (const document of DOCUMENTS) {
  for (const { quoted, text } of blocksOf(document)) {
    if (quoted === undefined) continue;
    const pieces = text.split("\n\n").map(bare);
    documents(`${document}: a quotation of ${quoted}, "${pieces[0]!.split("\n")[0]}", stands there`, () => {
      const source = bare(readFileSync(`${ROOT}${quoted}`, "utf8"));
      for (const piece of pieces) assert.ok(source.includes(piece), piece);
    });
  }
}

documents("TypeScript in the documents compiles, and the check notices what does not", () => {
  assert.equal(typeErrors(TYPESCRIPT), []);
  const [found] = typeErrors([
    'import { MemslotEngine } from "memslots";\nMemslotEngine.create({ slots: 1 });\n',
  ]);
  assert.match(found ?? "", /^document-0\.mts, line 2: .*'slots' does not exist in type 'EngineOptions'/);
});

/** Names that the examples of docstrings use and do not declare. */
const SCOPE = `
import { V86 } from "v86";
import * as memslots from "memslots";
import { FlatViews, Bar, MemoryRegion } from "memslots/flatview";
import { V86Map } from "memslots/v86";
const { MemslotEngine, DirtyConsumer, DirtyRing, guestMemory, mergeSlots, record, setReadonly, splitSlot } = memslots;
const { checkEngine, freeSlotNumbers, guestPageTable, protectRange } = memslots;
const { restoreEngine, saveEngine, superviseWorker, watchGuest } = memslots;
declare const engine: memslots.MemslotEngine, vcpu: memslots.Vcpu, ram: SharedArrayBuffer;
declare const root: MemoryRegion, vga: MemoryRegion, bar: Bar, tlb: Map<number, number>;
declare const bios: ArrayBuffer, wasm: ArrayBuffer, memory: memslots.GuestMemory;
declare function copyPage(slot: number, offset: number): void;
declare function send(ranges: readonly memslots.DirtyRange[]): Promise<void>;
declare function dropCode(gpa: number): void;
`;

documents("examples in docstrings compile", () => {
  const names = readdirSync(`${ROOT}src`, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => name.endsWith(".ts"));
  const sources = files.map((name) => readFileSync(`${ROOT}src/${name}`, "utf8"));
  const examples = sources.flatMap((source) => [
    ...source.matchAll(/^ *\* @example\n((?: *\* .*\n)+?) *\*(?:\/| *\n)/gm),
  ]);
  const texts = examples.map((match) => match[1]!.replace(/^ *\* /gm, ""));
  assert.ok(texts.length >= 12);
  const modules = texts.map((text) => `${SCOPE}export async function example() {\n${text}}\n`);
  assert.equal(typeErrors(modules, false), []);
});

documents("README.md shows examples/first.mjs unchanged", () => {
  const first = readFileSync(`${ROOT}examples/first.mjs`, "utf8");
  assert.ok(blocksOf("README.md").some(({ language, text }) => language === "js" && text === first));
});

documents("docs/browser.md shows the files of examples/page, which examples.test.ts opens", () => {
  const files = filesOf("docs/browser.md");
  assert.ok(files.size > 0);
  for (const [name, text] of files) {
    const path = `${ROOT}examples/page/${name}`;
    assert.ok(existsSync(path), name);
    assert.is(text, readFileSync(path, "utf8"), name);
  }
});

documents.run();
