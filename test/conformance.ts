/**
 * `npm run conformance -- [--via-list] [--save-every N] FILE...`: recorded answers of a real KVM against the engine's.
 * Without FILE, all of test/vectors. `--via-list` sends each set through a list of one region; `--save-every` saves the
 * engine after each N operations of a sequence, and goes on with a restored one.
 */
import { readdirSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { InputError } from "../src/trace/jsonl.js";
import { type Difference, readVectors, replaySequence, type VectorSequence } from "./support/vectors.js";

const VECTORS = fileURLToPath(new URL("vectors/", import.meta.url));
/**
 * How many differences of a file are shown in full; the first are the ones to look at, the rest follow from
 * them.
 */
const DIFFERENCES_SHOWN = 5;

const { files, viaList, saveEvery } = parseCommandLine();
let passed = 0;
let failed = 0;
for (const file of files) {
  try {
    const result = await conform(file);
    passed += result.passed;
    failed += result.failed;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    console.error(`conformance: ${error.message}`);
    process.exitCode = 1;
  }
}
console.log(`${passed} passed, ${failed} failed`);
if (failed > 0) process.exitCode = 1;

async function conform(file: string): Promise<{ passed: number; failed: number }> {
  const shown: string[] = [];
  let sequences = 0;
  let ops = 0;
  let failed = 0;
  for await (const sequence of readVectors(file)) {
    const differences = await replaySequence(sequence, { viaList, ...(saveEvery && { saveEvery }) });
    sequences++;
    ops += sequence.ops.length;
    failed += differences.length;
    for (const difference of differences) {
      if (shown.length < DIFFERENCES_SHOWN) shown.push(differenceText(file, sequence, difference));
    }
  }
  console.log(`${file}: ${ops - failed} passed, ${failed} failed in ${sequences} sequences`);
  for (const text of shown) console.log(text);
  if (failed > shown.length) console.log(`  ... and ${failed - shown.length} more`);
  return { passed: ops - failed, failed };
}

function differenceText(file: string, { header, line }: VectorSequence, difference: Difference): string {
  const { index, op, observed } = difference;
  return [
    `  ${file}:${(line ?? 0) + index + 1}: op ${index} of ${header.seq}`,
    `    recorded ${JSON.stringify(op)}`,
    `    observed ${JSON.stringify(observed)}`,
  ].join("\n");
}

function parseCommandLine(): { files: string[]; viaList: boolean; saveEvery: number | undefined } {
  try {
    const { values, positionals } = parseArgs({
      options: { "via-list": { type: "boolean", default: false }, "save-every": { type: "string" } },
      allowPositionals: true,
    });
    const all = () => readdirSync(VECTORS).filter((name) => /\.jsonl(\.gz)?$/.test(name));
    const files = positionals.length > 0 ? positionals : all().map((name) => relative("", VECTORS + name));
    const every = values["save-every"];
    const saveEvery = every === undefined ? undefined : Number(every);
    if (saveEvery !== undefined && !(Number.isInteger(saveEvery) && saveEvery > 0)) {
      throw new Error(`--save-every must be an integer from 1 on, not ${every}`);
    }
    return { files, viaList: values["via-list"], saveEvery };
  } catch (error) {
    console.error(`conformance: ${(error as Error).message}`);
    console.error("usage: npm run conformance -- [--via-list] [--save-every N] [FILE...]");
    process.exit(2);
  }
}
