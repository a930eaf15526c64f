/**
 * `npm run test:kvm -- [--seed S] [--sequences N] [--ops N]`: random operations, answered by the KVM of this
 * machine and by the engine, once with single calls and once with lists of one entry.
 * `npm run test:kvm -- --check-driver [FILE...]`: recorded vectors against this KVM, to see that driver.c
 * observes what the recorder did. Without FILE, all of test/vectors.
 */
import { randomInt } from "node:crypto";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { InputError } from "../../src/trace/jsonl.js";
import { type Difference, readVectors, replaySequence, type VectorSequence } from "../support/vectors.js";
import { available, Kvm, type KvmFacts } from "./kvm.js";
import { argumentsOf, differing } from "./protocol.js";
import { drawSequence } from "./sequences.js";

const VECTORS = fileURLToPath(new URL("../vectors/", import.meta.url));
const SEEDS = 2 ** 32;
/** Differences of a sequence that are shown; those after them mostly follow from them. */
const DIFFERENCES_SHOWN = 3;
const SEQUENCES_PER_PROGRESS_LINE = 10;

/** The place of a difference, its two sides, and the command that repeats it. */
interface Labels {
  where: string;
  expected: string;
  observed: string;
  replay: string;
}

class Tally {
  #passed = 0;
  #failed = 0;

  add(ops: number, failed: number): void {
    this.#passed += ops - failed;
    this.#failed += failed;
  }

  close(): void {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    if (this.#failed > 0) process.exitCode = 1;
  }
}

async function compareEngine(facts: KvmFacts, seed: number, sequences: number, ops?: number): Promise<void> {
  console.log(`seed ${seed}, ${sequences} sequences, KVM: ${JSON.stringify(facts)}`);
  const kvm = await Kvm.open();
  const tally = new Tally();
  for (let i = 0; i < sequences; i++) {
    const sequenceSeed = (seed + i) % SEEDS;
    const drawn = drawSequence(sequenceSeed, facts, ops);
    const sequence = { ...drawn, ops: await kvm.answer(drawn) };
    const failed = new Set<number>();
    for (const viaList of [false, true]) {
      const differences = await replaySequence(sequence, { viaList });
      for (const { index } of differences) failed.add(index);
      report(differences, {
        where: `${sequence.header.seq}, ${viaList ? "lists of one entry" : "single calls"}`,
        expected: "expected (KVM)",
        observed: "observed (engine)",
        replay: replayCommand(sequenceSeed, ops),
      });
    }
    tally.add(sequence.ops.length, failed.size);
    showProgress(i + 1, sequences);
  }
  await kvm.close();
  tally.close();
}

async function checkDriver(files: readonly string[]): Promise<void> {
  const kvm = await Kvm.open();
  const tally = new Tally();
  for (const file of files) {
    for await (const sequence of readVectors(file)) {
      const differences = await differencesFromRecord(kvm, sequence);
      tally.add(sequence.ops.length, differences.length);
      report(differences, {
        where: `${file}, ${sequence.header.seq}`,
        expected: "recorded",
        observed: "this machine's KVM",
        replay: `npm run test:kvm -- --check-driver ${file}`,
      });
    }
  }
  await kvm.close();
  tally.close();
}

async function differencesFromRecord(kvm: Kvm, sequence: VectorSequence): Promise<Difference[]> {
  const answered = await kvm.answer({ ...sequence, ops: sequence.ops.map(argumentsOf) });
  return sequence.ops.flatMap((op, index) => {
    const observed = answered[index]!;
    return differing(op, observed) ? [{ index, op, observed }] : [];
  });
}

function report(differences: readonly Difference[], labels: Labels): void {
  for (const { index, op, observed } of differences.slice(0, DIFFERENCES_SHOWN)) {
    console.log(`${labels.where}, op ${index}`);
    console.log(`  ${labels.expected}: ${JSON.stringify(op)}`);
    console.log(`  ${labels.observed}: ${JSON.stringify(observed)}`);
  }
  if (differences.length > DIFFERENCES_SHOWN) {
    console.log(`  ... and ${differences.length - DIFFERENCES_SHOWN} more ops of this sequence`);
  }
  if (differences.length > 0) console.log(`  replay: ${labels.replay}`);
}

function replayCommand(seed: number, ops: number | undefined): string {
  const length = ops === undefined ? "" : ` --ops ${ops}`;
  return `npm run test:kvm -- --seed ${seed} --sequences 1${length}`;
}

function showProgress(done: number, all: number): void {
  if (!process.stdout.isTTY || done % SEQUENCES_PER_PROGRESS_LINE !== 0) return;
  console.log(`${done} of ${all} sequences`);
}

function recordedFiles(): string[] {
  return readdirSync(VECTORS)
    .filter((name) => /\.jsonl(\.gz)?$/.test(name))
    .map((name) => VECTORS + name);
}

/** @throws Error naming the option whose value is not an integer in [min, max]. */
function integer(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`--${name} must be an integer ${min}..${max}, it is "${text}"`);
}

function parseCommandLine() {
  try {
    const { values, positionals } = parseArgs({
      options: {
        seed: { type: "string", default: String(randomInt(SEEDS)) },
        sequences: { type: "string", default: "20" },
        ops: { type: "string" },
        "check-driver": { type: "boolean", default: false },
      },
      allowPositionals: true,
    });
    const checking = values["check-driver"];
    if (!checking && positionals.length > 0) throw new Error(`unexpected argument "${positionals[0]}"`);
    return {
      checking,
      files: positionals.length > 0 ? positionals : recordedFiles(),
      seed: integer("seed", values.seed, 0, SEEDS - 1),
      sequences: integer("sequences", values.sequences, 1, 1_000_000),
      ops: values.ops === undefined ? undefined : integer("ops", values.ops, 1, 1_000_000),
    };
  } catch (error) {
    console.error(`test:kvm: ${(error as Error).message}`);
    console.error(
      "usage: npm run test:kvm -- [--seed S] [--sequences N] [--ops N] | --check-driver [FILE...]",
    );
    process.exit(2);
  }
}

// An interrupted run, too, removes what it has compiled: that is done when the process exits by itself.
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

const { checking, files, seed, sequences, ops } = parseCommandLine();
const availability = await available();
if (!availability.ok) console.log(`skipped: ${availability.reason}`);
else if (checking) {
  try {
    await checkDriver(files);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    console.error(`test:kvm: ${error.message}`);
    process.exit(1);
  }
} else {
  const { ok: _, ...facts } = availability;
  await compareEngine(facts, seed, sequences, ops);
}
