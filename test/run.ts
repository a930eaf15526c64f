/**
 * `npm test`: every *.test.ts below test/, each in its own process and under a watchdog, because uvu has
 * no time limit and a stuck worker would hang the run. Arguments choose the files whose path contains one of
 * them.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** A test file that takes longer is stuck: the longest takes a tenth of this. */
const WATCHDOG_MS = 600_000;

/** A module that each test file imports first: `npm run coverage` has one. */
const MORE = process.env.TEST_IMPORT === undefined ? [] : ["--import", process.env.TEST_IMPORT];

interface Outcome {
  file: string;
  passed: number;
  failed: number;
  seconds: number;
  output: string;
}

const here = dirname(fileURLToPath(import.meta.url));

function testFiles(wanted: readonly string[]): string[] {
  return readdirSync(here, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
    .sort()
    .map((name) => join(here, name));
}

/** The number behind `label` in uvu's summary. */
function summary(output: string, label: string): number {
  return Number(new RegExp(`^\\s*${label}:\\s+(\\d+)`, "m").exec(output)?.[1] ?? 0);
}

function runFile(file: string): Promise<Outcome> {
  const start = performance.now();
  return new Promise((resolve) => {
    let output = "";
    const child = spawn(process.execPath, ["--import", "tsx", ...MORE, file], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const watchdog = setTimeout(() => {
      output += `\nwatchdog: not finished after ${WATCHDOG_MS / 1000} s\n`;
      child.kill("SIGKILL");
    }, WATCHDOG_MS);
    child.stdout.on("data", (text) => {
      output += text;
    });
    child.stderr.on("data", (text) => {
      output += text;
    });
    child.on("close", (code) => {
      clearTimeout(watchdog);
      const total = summary(output, "Total");
      const passed = summary(output, "Passed");
      // A file that dies, or prints no summary, has failed even if no test said so.
      const failed = Math.max(total - passed, code === 0 && total > 0 ? 0 : 1);
      const seconds = (performance.now() - start) / 1000;
      resolve({ file: relative(process.cwd(), file), passed, failed, seconds, output });
    });
  });
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const queue = testFiles(wanted);
  if (queue.length === 0) {
    console.error(`test: no test file's path contains ${wanted.join(" or ")}`);
    process.exitCode = 2;
    return;
  }
  let passed = 0;
  let failed = 0;
  async function lane(): Promise<void> {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const outcome = await runFile(file);
      passed += outcome.passed;
      failed += outcome.failed;
      const { file: name, seconds } = outcome;
      const line = `${name}: ${outcome.passed} passed, ${outcome.failed} failed, ${seconds.toFixed(1)} s`;
      const notes = outcome.output.split("\n").filter((text) => /^(seed|skipped:)/.test(text.trim()));
      console.log([line, ...notes.map((text) => `  ${text.trim()}`)].join("\n"));
      if (outcome.failed > 0) console.log(outcome.output);
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
}

await main();
