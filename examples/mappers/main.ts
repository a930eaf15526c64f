/**
 * `npm run demo:mappers`: emulators of other people on the engine, against themselves without: do they come to
 * the same, and what does it cost. Exit code 1 if one comes to something else. A missed target is printed and no
 * more: a busy machine is no reason for a demo to fail.
 */
import { type Case, type CaseResult, Results, verdictOf } from "../../bench/harness/case.js";
import { measureCase } from "../../bench/harness/measure.js";
import { caseTable, columns, rowTable } from "../../bench/harness/table.js";
import { BOARDS } from "./nes/boards.js";
import * as nes from "./nes/costs.js";
import { compare } from "./nes/frames.js";
import * as rp2040 from "./rp2040/costs.js";
import { createMachine, execute, type Machine, stateOf } from "./rp2040/machine.js";
import { programImage } from "./rp2040/program.js";

const FRAMES = 120;
/** More than the RP2040's program takes. */
const STEPS_MAX = 1_000_000;

function hex(hash: number): string {
  return hash.toString(16).padStart(8, "0");
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** The pictures of all boards. @returns what is wrong */
async function pictures(): Promise<string[]> {
  const wrong: string[] = [];
  const lines = [["board", "pictures", "publications", "jsnes alone", "on slots", "verdict"]];
  for (const board of BOARDS) {
    const { different, publications, alone, onSlots } = await compare(board, FRAMES);
    if (alone !== onSlots) wrong.push(`${board.name}: other pictures on slots`);
    const hashes = [hex(alone), hex(onSlots), alone === onSlots ? "same" : "OTHER"];
    lines.push([board.name, count(different), count(publications), ...hashes]);
  }
  console.log(`jsnes, ${FRAMES} frames of a test cartridge for each board`);
  console.log(columns(lines));
  return wrong;
}

/** The RP2040's program to its end. @returns what is wrong */
async function firmware(): Promise<string[]> {
  const machines: Machine[] = [];
  const lines = [["bus", "instructions", "log lines", "text", "state"]];
  for (const kind of ["as it is", "on slots"] as const) {
    const machine = await createMachine(programImage(), kind);
    execute(machine, STEPS_MAX);
    const last = machine.text.trim().split("\n").at(-1)!;
    lines.push([kind, count(machine.steps), count(machine.log.length), last, hex(stateOf(machine))]);
    machines.push(machine);
  }
  console.log("rp2040js, a program that uses every peripheral, DMA, interrupts, code in SRAM");
  console.log(columns(lines));
  const [alone, onSlots] = machines.map((machine) => {
    const { text, usb, log, steps, ended } = machine;
    return JSON.stringify([text, usb, log, steps, ended, stateOf(machine)]);
  });
  return alone === onSlots ? [] : ["RP2040: the program runs otherwise on slots"];
}

async function measured(cases: readonly Case[]): Promise<Results> {
  const results: CaseResult[] = [];
  for (const one of cases) {
    results.push(await measureCase(one, { smoke: false }));
    console.log(caseTable(results.at(-1)!));
  }
  return new Results(results);
}

const wrong = [...(await pictures()), ...(await firmware())];
const results = await measured([...nes.cases, ...rp2040.cases]);
const rows = [...nes.rows(results), ...rp2040.rows(results)];
console.log(rowTable(rows));
const missed = rows.filter((row) => verdictOf(row) === "MISSED").map(({ what }) => `missed: ${what}`);
for (const line of [...wrong, ...missed]) console.log(line);
process.exitCode = wrong.length === 0 ? 0 : 1;
