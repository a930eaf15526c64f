/**
 * Patterns that are matched against what others have written take time in proportion to it: each of the readers' and
 * the command line's is proven so by a checker of regular expressions. A step of `npm run lint`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkSync } from "recheck";
import ts from "typescript";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ROOMS = ["src/cli", "src/map", "src/trace", "src/flatview/text"];
/** Not linear: if the checker does not find it, it is none. */
const SLOW = String.raw`/^(.*?) *@(\d+)$/`;
const TIMEOUT_MS = 30_000;
/** Of the strings. */
const SEED = 1;

/** Patterns of a file, and those that are made while it runs, which cannot be checked here. */
function patternsOf(path) {
  const source = ts.createSourceFile(path, readFileSync(ROOT + path, "utf8"), ts.ScriptTarget.Latest);
  const literals = [];
  const made = [];
  const walk = (node) => {
    if (ts.isRegularExpressionLiteral(node)) literals.push(node.text);
    if (ts.isNewExpression(node) && node.expression.getText(source) === "RegExp")
      made.push(node.getText(source));
    ts.forEachChild(node, walk);
  };
  walk(source);
  return { literals, made };
}

/**
 * By the automaton, whose verdict is the same each time. What it does not know, a look ahead, is attacked with strings
 * instead, which would take a repetition with an upper bound for a slow one.
 */
function complexityOf(literal) {
  const [, pattern, flags] = /^\/(.*)\/([a-z]*)$/s.exec(literal);
  const check = (checker) => checkSync(pattern, flags, { checker, timeout: TIMEOUT_MS, randomSeed: SEED });
  const proven = check("automaton");
  const checked = proven.error?.kind === "unsupported" ? check("fuzz") : proven;
  if (checked.status === "safe") return "safe";
  return checked.status === "vulnerable" ? checked.complexity.summary : checked.error.kind;
}

let checked = 0;
const findings = complexityOf(SLOW) === "safe" ? [`${SLOW} is taken for linear`] : [];
for (const room of ROOMS) {
  for (const name of readdirSync(ROOT + room).filter((file) => file.endsWith(".ts"))) {
    const { literals, made } = patternsOf(`${room}/${name}`);
    for (const text of made) findings.push(`${room}/${name}: ${text} must be a literal, to be checked`);
    for (const literal of literals) {
      const complexity = complexityOf(literal);
      checked++;
      if (complexity !== "safe") findings.push(`${room}/${name}: ${literal} is ${complexity}`);
    }
  }
}
for (const finding of findings) console.error(finding);
console.log(`patterns: ${checked} checked, ${findings.length} findings`);
process.exitCode = findings.length === 0 && checked > 0 ? 0 : 1;
