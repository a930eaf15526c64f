/** Style as a test: the rules of test/tidy hold for every file, and each rule finds what it is for. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LAYERS, PLANNED, PROJECT_RULES, READING_ORDER } from "../../tidy/project.js";
import { FILE_RULES, FUNCTION_LINES_MAX, LINE_LENGTH_MAX } from "../../tidy/rules.js";
import { type Finding, gitFiles, ignoredBy, projectOf, readProject, walk } from "../../tidy/source.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** At most five, each with its reason; one that is no longer needed fails. */
const EXCEPTIONS: readonly { rule: string; path: string; why: string }[] = [
  {
    rule: "noDoubleCast",
    path: "src/core/instantiate.ts",
    why: "the exports of a wasm instance have no types of their own; EngineExports is generated",
  },
  {
    rule: "noAtomicsInFacade",
    path: "src/runtime/waiting.ts",
    why: "a thread that must not sleep waits in JavaScript",
  },
  {
    rule: "noAtomicsInFacade",
    path: "src/guest/atomics.ts",
    why: "guest memory is the caller's buffers, which only JavaScript reaches",
  },
];
const EXCEPTIONS_MAX = 5;

function textOf({ path, line, message }: Finding): string {
  return `${path}:${line}: ${message}`;
}

const tree = suite("tidy");
const project = readProject(ROOT);

for (const [name, rule] of [
  ...Object.entries(FILE_RULES).map(([name, rule]) => [name, () => project.sources.flatMap(rule)] as const),
  ...Object.entries(PROJECT_RULES).map(([name, rule]) => [name, () => rule(project)] as const),
]) {
  tree(name, () => {
    const found = rule();
    const excepted = EXCEPTIONS.filter((exception) => exception.rule === name).map(({ path }) => path);
    for (const path of excepted) {
      assert.ok(
        found.some((finding) => finding.path === path),
        `${path} needs no exception`,
      );
    }
    const left = found.filter(({ path }) => !excepted.includes(path)).map(textOf);
    assert.is(left.length, 0, `\n${left.join("\n")}`);
  });
}

tree("exceptions are few", () => {
  assert.ok(EXCEPTIONS.length <= EXCEPTIONS_MAX);
  for (const { rule, why } of EXCEPTIONS)
    assert.ok(rule in { ...FILE_RULES, ...PROJECT_RULES } && why.length > 0);
});

tree("LAYERS has no file that is gone", () => {
  for (const layer of LAYERS) assert.ok(project.files.has(`assembly/${layer}.ts`), layer);
});

tree.run();

const files = suite("tidy reads");

files("what git knows and what it would add, and nothing else", () => {
  for (const path of [
    "package.json",
    "assembly/atomic.ts",
    "test/unit/project/tidy.test.ts",
    ".ci/run",
    ".gitignore",
  ]) {
    assert.ok(project.files.has(path), path);
  }
  for (const path of project.files) assert.not.match(path, /^(node_modules|dist|build|\.git)\//);
  const bytes = [...project.files].find((path) => path.endsWith(".gz"));
  assert.ok(bytes !== undefined && !project.sources.some(({ path }) => path === bytes), "no text, no source");
});

files("the same folders without git", () => {
  const root = mkdtempSync(join(tmpdir(), "memslots-tidy-"));
  try {
    const written = [
      ".gitignore",
      "a.ts",
      "b/c.ts",
      "node_modules/x.js",
      "b/pack.tgz",
      ".ci/run",
      "dist/a.js",
    ];
    for (const path of written) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), path === ".gitignore" ? "node_modules/\ndist/\n*.tgz\n" : "");
    }
    const ignored = ignoredBy(root);
    assert.equal(walk(root, ignored), [".ci/run", ".gitignore", "a.ts", "b/c.ts"]);
    assert.equal([...readProject(root).files], gitFiles(root) ?? walk(root, ignored));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

files.run();

/** Messages of a file rule for one text. */
function check(rule: string, path: string, text: string): string[] {
  return FILE_RULES[rule]!({ path, text }).map(textOf);
}

/** Messages of a project rule for a few texts. */
function checkAll(rule: string, texts: Readonly<Record<string, string>>, others: string[] = []): string[] {
  const sources = Object.entries(texts).map(([path, text]) => ({ path, text }));
  return PROJECT_RULES[rule]!(projectOf(sources, others)).map(textOf);
}

const LONG = "x".repeat(LINE_LENGTH_MAX + 1);
/** Words and paths that this file must not hold itself. */
const [LEFTOVER, MACHINE] = [["TO", "DO"].join(""), ["", "work", "x.ts"].join("/")];

function functionOf(lines: number): string {
  return `${["function f() {", ...Array(lines - 2).fill("  g();"), "}"].join("\n")}\n`;
}

/** Rule, path, a text that it must accept, one that it must refuse, and where. */
const UVU = 'import * as assert from "uvu/assert";\n';
const SAMPLES: readonly [rule: string, path: string, good: string, bad: string, at: string][] = [
  ["lineLength", "src/a.ts", LONG.slice(1), `a\n${LONG}`, "src/a.ts:2"],
  ["lineLength", "a.md", `| ${LONG} |\n[a](${LONG})`, LONG, "a.md:1"],
  ["lineLength", "a.ts", `// Generated by a. Do not edit.\n${LONG}`, LONG, "a.ts:1"],
  [
    "functionLength",
    "src/a.ts",
    `/** ${"\n *".repeat(9)} */\n${functionOf(FUNCTION_LINES_MAX)}`,
    `let a;\n${functionOf(FUNCTION_LINES_MAX + 1)}`,
    "src/a.ts:2",
  ],
  ["functionLength", "assembly/a.ts", functionOf(3), functionOf(99), "assembly/a.ts:1"],
  [
    "atomicInOneFile",
    "assembly/a.ts",
    "// atomic.load\nlet a = x.atomic;",
    "atomic.load<u32>(a);",
    "assembly/a.ts:1",
  ],
  [
    "statelessCore",
    "assembly/a.ts",
    'import { A } from "./b";\noffsetof<A>("f");',
    "\nnew A();",
    "assembly/a.ts:2",
  ],
  ["statelessCore", "assembly/a.ts", 'if (x) ERROR("why");', 'f("text");', "assembly/a.ts:1"],
  ["statelessCore", "assembly/a.ts", "// `a`, 'b' and \"c\"", "let a = `b`;", "assembly/a.ts:1"],
  ["noDoubleCast", "src/a.ts", "a as unknown; // as unknown as B", "\na as unknown as B;", "src/a.ts:2"],
  ["noAtomicsInFacade", "src/a.ts", "// Atomics.wait", "Atomics.wait(a, 0, 0);", "src/a.ts:1"],
  ["noLeftovers", "docs/a.md", `${LEFTOVER}s`, `a\n${LEFTOVER}: b`, "docs/a.md:2"],
  ["allTestsRun", "test/a.test.ts", "// test.only(f)\nonly(); test(f);", "test.only(f);", "test/a.test.ts:1"],
  ["allTestsRun", "bench/a.ts", "a.skip;", "\ntest.skip(f);", "bench/a.ts:2"],
  [
    "throwsChecks",
    "test/a.test.ts",
    `${UVU}assert.throws(f, /a/); assert.throws(f, isA(RangeError));`,
    `${UVU}assert.throws(\nf, RangeError);`,
    "test/a.test.ts:3",
  ],
  [
    "throwsChecks",
    "test/b.test.ts",
    "assert.throws(f, RangeError);",
    `${UVU}assert.throws(f, "no");`,
    "test/b.test.ts:2",
  ],
  ["noMachinePaths", "README.md", `a${MACHINE} ./${MACHINE.slice(1)}`, `see ${MACHINE}`, "README.md:1"],
  ["oneTitle", "a.md", "# A\n```sh\n# b\n```\n## C", "# A\n\n# B", "a.md:3"],
  ["oneTitle", "b.md", "# A", "## A", "b.md:1"],
];

const rules = suite("tidy rules");

for (const [rule, path, good, bad, at] of SAMPLES) {
  rules(`${rule} ${path}: ${bad.slice(0, 40).replaceAll("\n", "\\n")}`, () => {
    assert.equal(check(rule, path, good), []);
    const found = check(rule, path, bad);
    assert.is(found.length, 1, found.join("\n"));
    assert.ok(found[0]!.startsWith(`${at}: `), found[0]);
  });
}

rules("a rule looks at its own folders only", () => {
  assert.equal(check("atomicInOneFile", "assembly/atomic.ts", "atomic.load<u32>(a);"), []);
  assert.equal(check("statelessCore", "src/a.ts", 'new A("b");'), []);
  assert.equal(check("functionLength", "test/a.ts", functionOf(99)), []);
  for (const path of ["test/a.ts", "src/cli/a.ts"]) {
    assert.equal(check("noAtomicsInFacade", path, "Atomics.wait(a, 0, 0);"), []);
  }
  assert.equal(check("allTestsRun", "src/a.ts", "a.skip(1);"), []);
  assert.equal(check("lineLength", "a.json", LONG), []);
  assert.equal(check("oneTitle", "a.ts", ""), []);
});

rules("coreLayers: only downwards, and every file has its place", () => {
  assert.equal(checkAll("coreLayers", { "assembly/atomic.ts": 'import { A } from "./layout";' }), []);
  assert.equal(
    checkAll("coreLayers", {
      "assembly/atomic.ts": 'import { A } from "./layout";\nimport { b } from "./chunks";',
      "assembly/chunks.ts": 'export { A } from "./chunks";',
      "assembly/layout.ts": 'import { f } from "assemblyscript";',
      "assembly/zebra.ts": "",
    }),
    [
      "assembly/atomic.ts:2: assembly/chunks.ts is not below it",
      "assembly/chunks.ts:1: assembly/chunks.ts is not below it",
      "assembly/layout.ts:1: assemblyscript is not below it",
      "assembly/zebra.ts:1: has no place in LAYERS",
    ],
  );
});

rules("rooms: only downwards, peers apart, every file has its place", () => {
  const texts = {
    "src/kvm/a.ts": "",
    "src/core/b.ts": 'import type { A } from "../kvm/a.js";\nimport "./c.js";',
    "src/core/c.ts": 'import "../read/d.js";',
    "src/read/d.ts": 'import "../write/e.js";\nimport "node:fs";',
    "src/write/e.ts": 'import "../../test/f.js";',
    "src/flatview/pc/g.ts": 'import "../h.js";',
    "src/flatview/h.ts": 'import "./pc/g.js";',
    "src/attic.ts": "",
    "test/f.ts": 'import "../src/cli/main.js";',
  };
  assert.equal(checkAll("rooms", texts), [
    "src/core/c.ts:1: must not import src/read/d.ts",
    "src/read/d.ts:1: must not import src/write/e.ts",
    "src/write/e.ts:1: must not import test/f.ts",
    "src/flatview/h.ts:1: must not import src/flatview/pc/g.ts",
    "src/attic.ts:1: stands in no room of FLOORS",
  ]);
});

rules("noCycles: reported once; imports of types count", () => {
  const texts = {
    "src/a.ts": 'import { b } from "./b.js";',
    "src/b.ts": 'export { c } from "./c.js";',
    "src/c.ts": "",
  };
  assert.equal(checkAll("noCycles", texts), []);
  assert.equal(checkAll("noCycles", { ...texts, "src/c.ts": '\nimport type { A } from "./a.js";' }), [
    "src/c.ts:2: src/a.ts -> src/b.ts -> src/c.ts -> src/a.ts",
  ]);
});

rules("noUnusedFiles: imported, included, or named by another file", () => {
  const texts = {
    "package.json": '{ "scripts": { "b": "node ./bench/run.ts" } }',
    "bench/run.ts": 'import "./a.js";\nnew URL("./worker.ts", import.meta.url);\nbuild("native/b.c");',
    "bench/a.ts": 'import type { T } from "./types.js";',
    "bench/types.ts": "",
    "bench/worker.ts": "",
    "bench/native/b.c": '#include "b.h"',
    "bench/native/b.h": "",
    "test/c.test.ts": "",
  };
  assert.equal(checkAll("noUnusedFiles", texts), []);
  assert.equal(checkAll("noUnusedFiles", { ...texts, "bench/a.ts": 'f("a.ts"); // ./types.ts' }), [
    "bench/types.ts:1: nobody imports or names this file",
  ]);
});

rules("commentsNameWhatExists: code, not another comment, not prose without back-ticks", () => {
  const texts = {
    "src/a.ts": "/**\n * see `f`, `b.c` and g\n */\nfunction f() {} // `g`\nconst b = { c: 1 };",
    "assembly/a.ts": "const g = 1;",
  };
  assert.equal(checkAll("commentsNameWhatExists", texts), []);
  assert.equal(checkAll("commentsNameWhatExists", { ...texts, "assembly/a.ts": "// g", "test/a.ts": "g" }), [
    "src/a.ts:4: g is nowhere in the code",
  ]);
  assert.equal(
    checkAll("commentsNameWhatExists", { "src/a.ts": "const r = /`/; // `r`\nconst d = 1 / 2; // `d`" }),
    [],
  );
});

rules("textsNameFilesThatExist: the file, and in it what is said to be there", () => {
  const texts = {
    "src/a.ts": "/** As `f` in b.ts and src/b.ts; of kvm_main.c nothing is known. */",
    "src/b.ts": "function f() {}",
    "docs/c.md": "# C\n`f` (src/b.ts)\n```\nx.ts\n```\n",
  };
  assert.equal(checkAll("textsNameFilesThatExist", texts), []);
  assert.equal(checkAll("textsNameFilesThatExist", { ...texts, "src/b.ts": "// f" }), [
    "src/a.ts:1: f is not in b.ts",
    "docs/c.md:2: f is not in src/b.ts",
  ]);
  assert.equal(checkAll("textsNameFilesThatExist", { "src/a.ts": "\n// x\n/* y\n see c/d.md */" }), [
    "src/a.ts:4: there is no c/d.md",
  ]);
  const planned = Object.fromEntries(PLANNED.slice(0, 1).map((path) => [path, "# A"]));
  assert.is(checkAll("textsNameFilesThatExist", planned).length, PLANNED.length > 0 ? 1 : 0);
});

rules("atomicFieldsByWord: a field that the map calls atomic has words in atomic.ts", () => {
  const map = "class Header {\n/** atomic; writer: x */\nroot: u32;\n/** atomics aside */\nroots: u32;\n}";
  const texts = {
    "assembly/layout.ts": `${map}\nif (offsetof<Header>("root") != 0) ERROR("root");`,
    "assembly/atomic.ts": "a.root;",
    "assembly/chunks.ts": 'a.roots; offsetof<Header>("roots");',
  };
  assert.is(checkAll("atomicFieldsByWord", texts).length, 0);
  const bad = 'a.root = 1;\nload<u32>(a, offsetof<Header>("root"));';
  assert.equal(checkAll("atomicFieldsByWord", { ...texts, "assembly/chunks.ts": bad }), [
    "assembly/chunks.ts:1: a.root is an atomic field",
    'assembly/chunks.ts:2: offsetof<Header>("root") is an atomic field',
  ]);
});

rules("linksLeadSomewhere: files, folders, headings", () => {
  const good =
    "# A b, c!\n[x](docs/d.md) [y](#a-b-c) [z](docs/d.md#e) [w](docs) [v](https://a.example/)\n`[u](t)`";
  const texts = { "README.md": good, "docs/d.md": "# D\n## E\n[x](../README.md) [y](f.png)\n" };
  assert.equal(checkAll("linksLeadSomewhere", texts, ["docs/f.png"]), []);
  assert.equal(
    checkAll("linksLeadSomewhere", { ...texts, "README.md": "[x](d.md)\n[y](#z) [z](docs/d.md#f)" }),
    [
      "README.md:1: there is no d.md",
      "README.md:2: README.md has no heading #z",
      "README.md:2: docs/d.md has no heading #f",
      "docs/d.md:3: there is no docs/f.png",
    ],
  );
  const outside = "https://github.com/memslots/memslots/blob/main/src/a.ts";
  assert.equal(checkAll("linksLeadSomewhere", { "README.md": `[x](${outside})` }, ["src/a.ts"]), []);
  assert.equal(checkAll("linksLeadSomewhere", { "README.md": "[x](src/a.ts)" }, ["src/a.ts"]), [
    `README.md:1: src/a.ts is not in the package: link to ${outside}`,
  ]);
  assert.equal(checkAll("linksLeadSomewhere", { "README.md": `[x](${outside})` }), [
    "README.md:1: there is no src/a.ts",
  ]);
});

rules("tourHasReadingOrder: all of it, in order", () => {
  const list = READING_ORDER.map((path) => `1. [${path}](../${path})`);
  const tour = (lines: string[]) => ({
    "docs/tour.md": `# A\n## First five minutes\n${lines.join("\n")}\n## B\n`,
  });
  assert.equal(checkAll("tourHasReadingOrder", tour(["[a](a.md)", ...list])), []);
  assert.is(checkAll("tourHasReadingOrder", tour(list.slice(1))).length, 1);
  assert.is(checkAll("tourHasReadingOrder", tour([...list].reverse())).length, 1);
  assert.is(checkAll("tourHasReadingOrder", {}).length, 1);
});

rules("abiIsDocumented: every function, once the page is there", () => {
  const index = 'export { f, g } from "./a";';
  assert.equal(checkAll("abiIsDocumented", { "assembly/index.ts": index }), []);
  const page = { "assembly/index.ts": index, "docs/abi.md": "# A\n`f(a)` and gg" };
  assert.equal(checkAll("abiIsDocumented", page), ["assembly/index.ts:1: g is not in docs/abi.md"]);
});

rules("every rule has a sample", () => {
  const own = project.sources.find(({ path }) => path === "test/unit/project/tidy.test.ts")!.text;
  for (const name of Object.keys(FILE_RULES))
    assert.ok(
      SAMPLES.some(([rule]) => rule === name),
      name,
    );
  for (const name of Object.keys(PROJECT_RULES)) assert.ok(own.includes(`rules("${name}: `), name);
});

rules.run();
