/**
 * `npm run demo:mappers`: consoles whose banks are memory slots, against the same emulator without: do they
 * show the same, and what does it cost. Exit code 1 if a console shows something else, or a target is missed.
 */
import { type Case, Results, type Row, ratios, verdictOf } from "../../bench/harness/case.js";
import { measureCase } from "../../bench/harness/measure.js";
import { caseTable, columns, rowTable } from "../../bench/harness/table.js";
import { BOARDS } from "./nes/boards.js";
import { compare } from "./nes/frames.js";
import { COPY, FRAME_ALONE, FRAME_CASE, FRAME_ON_SLOTS, SET, SWITCH, SWITCH_CASE } from "./nes/switches.js";

const FRAMES = 120;
/** A switch is this many times cheaper than jsnes's copy, at least. */
const SWITCH_GAIN_MIN = 30;

function hex(hash: number): string {
  return hash.toString(16).padStart(8, "0");
}

/** The pictures of all boards. @returns what is wrong */
async function pictures(): Promise<string[]> {
  const wrong: string[] = [];
  const lines: string[][] = [];
  for (const board of BOARDS) {
    const { different, publications, alone, onSlots } = await compare(board, FRAMES);
    if (alone !== onSlots) wrong.push(`${board.name}: other pictures on slots`);
    const verdict = alone === onSlots ? "same" : "OTHER";
    lines.push([
      board.name,
      String(different),
      publications.toLocaleString("en-US"),
      hex(alone),
      hex(onSlots),
      verdict,
    ]);
  }
  console.log(`jsnes, ${FRAMES} frames of a test cartridge for each board`);
  console.log(
    columns([["board", "pictures", "publications", "jsnes alone", "on slots", "verdict"], ...lines]),
  );
  return wrong;
}

async function measured(cases: readonly Case[]): Promise<Results> {
  const results = [];
  for (const one of cases) {
    const result = await measureCase(one, { smoke: false });
    console.log(caseTable(result));
    results.push(result);
  }
  return new Results(results);
}

function rows(results: Results): Row[] {
  const { n } = SWITCH_CASE;
  return [
    ...ratios(results, "switch", SWITCH_CASE.name, COPY, SWITCH, { [n]: SWITCH_GAIN_MIN }).map((row) => ({
      ...row,
      atLeast: true,
    })),
    ...ratios(results, "switch", SWITCH_CASE.name, SET, SWITCH, { [n]: undefined }),
    ...ratios(results, "frame", FRAME_CASE.name, FRAME_ON_SLOTS, FRAME_ALONE, { [n]: undefined }),
  ];
}

const wrong = await pictures();
const compared = rows(await measured([SWITCH_CASE, FRAME_CASE]));
console.log(rowTable(compared));
const missed = compared.filter((row) => verdictOf(row) === "MISSED");
for (const line of [...wrong, ...missed.map(({ what }) => `missed: ${what}`)]) console.log(line);
process.exitCode = wrong.length + missed.length === 0 ? 0 : 1;
