/**
 * What the documents show is true. Of README.md and docs/*.md
 *
 *   ```js               runs as it stands; a ```text block behind it is what it prints
 *   ```ts               compiles against the package's declarations; behind a first line "// PATH" it is a
 *                       quotation: each piece between empty lines stands in that file, however far indented
 *   ```LANGUAGE file=F  is a file: all of a document's lie in one folder, from which memslots can be imported
 *   ```console          `$ node ...` prints what is shown, in that folder if its program is one of the files
 *
 * Other blocks are drawings and commands of a shell. Pages are opened by examples.test.ts.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
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
  blocks.forEach(({ language, file, text }, i) => {
    if (language === "js" && file === undefined) {
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

documents("README.md shows examples/first.mjs as it is", () => {
  const first = readFileSync(`${ROOT}examples/first.mjs`, "utf8");
  assert.ok(blocksOf("README.md").some(({ language, text }) => language === "js" && text === first));
});

/** Documents whose files are those of examples/page; so what is opened there is what they show. */
for (const document of ["README.md", "docs/browser.md"]) {
  documents(`${document} shows files of examples/page as they are`, () => {
    const files = filesOf(document);
    assert.ok(files.size > 0);
    for (const [name, text] of files) {
      const path = `${ROOT}examples/page/${name}`;
      assert.ok(existsSync(path), name);
      assert.is(text, readFileSync(path, "utf8"), name);
    }
  });
}

documents.run();
