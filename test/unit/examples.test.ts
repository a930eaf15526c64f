/** What the documents show runs as it stands, and prints what they say it prints. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

interface Block {
  language: string;
  text: string;
}

function blocksOf(document: string): Block[] {
  const text = readFileSync(`${ROOT}${document}`, "utf8");
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
    language: match[1]!,
    text: match[2]!,
  }));
}

/** In the root, where `import "memslots"` finds the package itself. */
function node(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  assert.is(status, 0, stderr);
  return stdout;
}

const EXAMPLES = readdirSync(`${ROOT}examples`).filter((name) => name.endsWith(".mjs"));
const DOCUMENTS = ["README.md", ...readdirSync(`${ROOT}docs`).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith(".md"),
);

for (const name of EXAMPLES) {
  test(`examples/${name} runs`, () => {
    assert.ok(node(`examples/${name}`).length > 0);
  });
}

for (const document of DOCUMENTS) {
  const blocks = blocksOf(document);
  blocks.forEach(({ language, text }, i) => {
    if (language !== "js") return;
    test(`${document}: block ${i} runs, and a text block behind it is what it prints`, () => {
      const output = node("--input-type=module", "--eval", text);
      const next = blocks[i + 1];
      if (next?.language === "text") assert.is(output, next.text);
    });
  });
  blocks.forEach(({ language, text }) => {
    const shown = /^\$ node ([^\n]+)\n(.*)$/s.exec(text);
    if (language !== "console" || shown === null) return;
    test(`${document}: node ${shown[1]} prints what is shown`, () => {
      assert.is(node(...shown[1]!.split(" ")).trimEnd(), shown[2]!.trimEnd());
    });
  });
}

/** A `ts` block that begins with a path is a quotation. */
function quotationsOf(document: string): { path: string; text: string }[] {
  return blocksOf(document).flatMap(({ language, text }) => {
    const quoted = /^\/\/ (\S+\.ts)\n(.*)$/s.exec(text);
    return language === "ts" && quoted !== null ? [{ path: quoted[1]!, text: quoted[2]! }] : [];
  });
}

for (const document of DOCUMENTS) {
  quotationsOf(document).forEach(({ path, text }, i) => {
    test(`${document}: quotation ${i} stands in ${path}`, () => {
      assert.ok(readFileSync(`${ROOT}${path}`, "utf8").includes(`\n${text}`), text);
    });
  });
}

test("README.md shows examples/first.mjs as it is", () => {
  const first = readFileSync(`${ROOT}examples/first.mjs`, "utf8");
  assert.ok(blocksOf("README.md").some(({ language, text }) => language === "js" && text === first));
});

test.run();
