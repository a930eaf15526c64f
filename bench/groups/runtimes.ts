/** The same lookups and lists in every runtime. The results must be equal to the hash; the report has the times. */
import { type Case, type Group, type Results, type Row, ratioOf, type Scale } from "../harness/case.js";
import { measureEverywhere } from "../runtimes/everywhere.js";
import type { WorkloadName } from "../runtimes/workloads.js";

/** No runtime may take so many times as long as Node. */
const SLOWEST = 4;
const FEW = 64;
const MANY = 4096;
const WORKLOADS: readonly (readonly [WorkloadName, (scale: Scale) => readonly number[]])[] = [
  ["lookups, uniform", ({ largest }) => [FEW, MANY, largest]],
  ["lookups, mix", () => [MANY]],
  ["one-shot lookups, uniform", () => [MANY]],
  ["batches, uniform", () => [MANY]],
  ["lists of 1", () => [MANY]],
  ["lists of 16", ({ largest }) => [FEW, MANY, largest]],
];

function cases(scale: Scale): Case[] {
  const few = ["lookups, uniform", "lists of 16"];
  return WORKLOADS.filter(([name]) => !(scale.smoke || scale.quick) || few.includes(name)).flatMap(
    ([name, sizes]) =>
      (scale.smoke ? [FEW] : scale.quick ? [MANY] : sizes(scale)).map((n) => ({
        name: `runtimes: ${name}`,
        n,
        unit: name.startsWith("lists") ? "list" : "lookup",
        prepare: () => measureEverywhere(name, n, scale.smoke ? "smoke" : scale.quick ? "quick" : "full"),
      })),
  );
}

function rows(results: Results, scale: Scale): Row[] {
  return cases(scale).flatMap(({ name, n }) => {
    const { figures = [], skipped = [] } = results.case(name, n) ?? {};
    const [node, ...others] = figures;
    const row = (what: string) => ({
      id: "R1",
      what: `${name.slice(10)}: ${what.replace(/ [\d.]+$/, "")} / Node`,
      n: String(n),
      target: SLOWEST,
    });
    return [
      ...others.map((other) => ({ ...row(other.name), measured: ratioOf(other, node!) })),
      ...skipped.map((s) => ({ ...row(s.name), measured: undefined, skipped: s.skipped })),
    ];
  });
}

/** A case is in the report only if its results were equal everywhere. */
function report(results: Results, scale: Scale): string {
  const measured = cases(scale).flatMap(({ name, n }) => results.case(name, n) ?? []);
  const names = new Set(measured.flatMap(({ figures }) => figures.map((figure) => figure.name)));
  return `${measured.length} workloads, the answers of each equal to the hash in ${[...names].join(", ")}\n`;
}

export const runtimes: Group = {
  name: "runtimes",
  about: "the same lookups and lists in Node, Bun, Deno, Chromium and Firefox, the answers equal",
  cases,
  rows,
  report,
};
