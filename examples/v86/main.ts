/**
 * `npm run demo:v86 [-- --bench] [--rounds N]`: guests of v86 with the map of memslots, beside the same guests with
 * v86's map, and the cost of an access. Exit code 1 if a guest saw wrong bytes, or, with --bench, if reads cost more
 * than RATIO_MAX; 2 for wrong usage.
 */
import { parseArgs } from "node:util";
import { type Boot, linux, missing, ownFirmware, seaBios } from "./boots.js";
import { MOVE_SCENARIO, SCENARIOS, type Scenario, type Whose } from "./scenarios.js";
import { RATIO_MAX, speeds } from "./speed.js";

const USAGE = `usage: npm run demo:v86 -- [--bench] [--rounds N]
  --bench   only measure, and fail if reads cost more than ${RATIO_MAX} times v86's own
  --rounds  of the measurement; 201 if not given
  --help    this`;

/** The scenarios of a boot, and the maps to run them with. Linux boots for half a minute, so it runs once. */
interface Part {
  readonly title: string;
  readonly boot: Boot;
  readonly scenarios: readonly Scenario[];
  readonly whose: readonly Whose[];
}

const PARTS: readonly Part[] = [
  { title: "A firmware of our own", boot: ownFirmware, scenarios: SCENARIOS, whose: ["memslots", "v86"] },
  { title: "SeaBIOS", boot: seaBios, scenarios: SCENARIOS, whose: ["memslots", "v86"] },
  { title: "Linux, from user space", boot: linux, scenarios: [MOVE_SCENARIO], whose: ["memslots"] },
];

const WHAT_WIDTH = 66;
const SEEN_WIDTH = 22;

/** Run a part and print its table. @returns wrong bytes that guests saw */
async function showPart({ title, boot, scenarios, whose }: Part): Promise<string[]> {
  console.log(`\n${title}`);
  const reason = missing(boot);
  if (reason !== undefined) {
    console.log(`  skipped: ${reason}`);
    return [];
  }
  const heads = whose.map((side) => (side === "v86" ? "v86 alone" : side).padEnd(SEEN_WIDTH));
  console.log(`  ${"bytes that the guest reads".padEnd(WHAT_WIDTH)}${heads.join("")}`.trimEnd());
  const wrong: string[] = [];
  for (const { what, run, seen } of scenarios) {
    const cells: string[] = [];
    for (const side of whose) {
      const bytes = await run(boot, side);
      cells.push(bytes.padEnd(SEEN_WIDTH));
      if (bytes !== seen[side]) wrong.push(`${boot.name}, ${side}: ${what}: ${bytes}, not ${seen[side]}`);
    }
    console.log(`  ${what.padEnd(WHAT_WIDTH)}${cells.join("")}`.trimEnd());
  }
  return wrong;
}

/** Measure and print the table. @returns reads that cost too much */
async function showSpeeds(rounds: number): Promise<string[]> {
  console.log(
    `\nWhat a guest's access costs: ns, medians of ${rounds} rounds in turns; quartiles of the ratio`,
  );
  console.log(
    `  ${"".padEnd(44)}${["memslots", "v86 alone", "ratio"].map((head) => head.padStart(10)).join("")}`,
  );
  const slow: string[] = [];
  for await (const { what, memslots, v86, ratio, quartiles, isRead } of speeds(rounds)) {
    const cells = [memslots.toFixed(1), v86.toFixed(1), ratio.toFixed(2)].map((cell) => cell.padStart(10));
    const spread = quartiles.map((quartile) => quartile.toFixed(2)).join(" to ");
    console.log(`  ${what.padEnd(44)}${cells.join("")}  (${spread})`);
    if (isRead && ratio > RATIO_MAX) slow.push(`${what}: ${ratio.toFixed(2)} times v86's own`);
  }
  console.log(`  Reads are to cost ${RATIO_MAX} times v86's own closures at most.`);
  return slow;
}

/** @throws Error naming the wrong argument */
function optionsOf(args: readonly string[]): { bench: boolean; rounds: number; help: boolean } {
  const { values } = parseArgs({
    args: args.filter((argument) => argument !== "--"),
    options: {
      bench: { type: "boolean", default: false },
      rounds: { type: "string", default: "201" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds must be a positive integer, not ${values.rounds}`);
  }
  return { bench: values.bench, rounds, help: values.help };
}

async function main(args: readonly string[]): Promise<number> {
  let options: ReturnType<typeof optionsOf>;
  try {
    options = optionsOf(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const failures: string[] = [];
  if (!options.bench) for (const part of PARTS) failures.push(...(await showPart(part)));
  const slow = await showSpeeds(options.rounds);
  // Only --bench fails for slow reads: a busy machine should not fail the demo.
  if (options.bench) failures.push(...slow);
  for (const failure of failures) console.error(`FAILED: ${failure}`);
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
