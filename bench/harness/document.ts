/**
 * The part of a document that a result writes: between two marks, so that no figure in it was typed.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { NOT_RUN, verdictOf } from "./case.js";
import type { Result, Run } from "./result.js";
import { percent, short, spreadText } from "./table.js";

const BEGIN = "<!-- figures: begin -->\n";
const END = "<!-- figures: end -->\n";

/** Replace the text between the marks. @throws Error if the document lacks one of them */
export function writeDocument(file: string, result: Result): void {
  writeFileSync(file, withFigures(readFileSync(file, "utf8"), figuresText(result)));
}

export function withFigures(document: string, figures: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the document must have ${BEGIN.trim()} and ${END.trim()}`);
  return `${document.slice(0, begin + BEGIN.length)}${figures}${document.slice(end)}`;
}

/** Date and machine of each run, and a table of the rows. */
export function figuresText({ runs, rows }: Pick<Result, "runs" | "rows">): string {
  const lines = rows.map((row) => {
    const { id, n, what, unit, measured, target, atLeast } = row;
    const value =
      measured === undefined ? "" : `${short(measured[1])}${unit === undefined ? "" : ` ${unit}`}`;
    const quartiles = measured === undefined ? "" : spreadText(measured);
    const bound = `${atLeast ? "≥" : "≤"} ${target}`;
    const verdict = measured === undefined ? `not measured: ${row.skipped ?? NOT_RUN}` : verdictOf(row);
    return `| ${[id, what, n, value, quartiles, bound, verdict].join(" | ")} |`;
  });
  const head = ["| row | what | n | measured | quartiles | target | |", "|---|---|---:|---:|---:|---:|---|"];
  return `\n${[...new Set(runs.map(runText))].join("\n")}\n\n${[...head, ...lines].join("\n")}\n\n`;
}

function runText({ date, commit, machine, runtime, shared }: Run): string {
  const { cpu, cores, system } = machine;
  const [hash, changes = ""] = commit?.split(/(?<=^\w+)(?= )/) ?? [];
  const neighbour =
    shared === undefined ? "" : `\n${percent(shared)} of the batches shared their core with a neighbour.`;
  const of = hash === undefined ? "" : `, commit ${hash.slice(0, 10)}${changes}`;
  return `Measured ${date.slice(0, 10)}${of}, on ${cores} processors (${cpu}), ${system}, ${runtime}.${neighbour}`;
}
