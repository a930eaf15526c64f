/**
 * The RFC's own measurement with real boots: total time of all commits, by number of vCPUs in worker threads.
 */
import { measureBoot } from "../boot/measure.js";
import { bootTable, RFC_TABLE } from "../boot/table.js";
import { WAYS, type Way } from "../boot/ways.js";
import type { Case, Group, Measured, Results, Row, Scale } from "../harness/case.js";

const TRACES = ["pc-1g-reset", "q35-1g-default"];
const VCPUS = [1, 2, 4, 8, 16, 24];
const LIST: Way = "list";
const PAUSE: Way = "pause all, one by one";

/** The more vCPUs share a processor, the longer a boot takes, and the less the compiler matters. */
function optionsFor(vcpus: number, smoke: boolean): { rounds: number; warmUps: number } {
  if (smoke) return { rounds: 1, warmUps: 0 };
  return { rounds: Math.max(3, Math.ceil(24 / vcpus)), warmUps: Math.floor(24 / vcpus) };
}

function sizesOf({ smoke }: Scale): { traces: readonly string[]; vcpus: readonly number[] } {
  return smoke ? { traces: ["microvm-1g"], vcpus: [1, 2] } : { traces: TRACES, vcpus: VCPUS };
}

function nameOf(trace: string): string {
  return `boot ${trace}`;
}

function cases(scale: Scale): Case[] {
  const { traces, vcpus } = sizesOf(scale);
  return traces.flatMap((trace) =>
    vcpus.map((n) => ({
      name: nameOf(trace),
      n,
      unit: "boot",
      prepare: async (): Promise<Measured[]> => {
        const times = await measureBoot(trace, n, optionsFor(n, scale.smoke));
        return WAYS.map((way) => ({ name: way, samples: times.get(way)!.map((ms) => ms * 1e6) }));
      },
    })),
  );
}

function rows(results: Results, scale: Scale): Row[] {
  const { traces, vcpus } = sizesOf(scale);
  return traces.flatMap((trace) =>
    vcpus.map((n) => ({
      id: "RFC",
      what: `${nameOf(trace)}, ${n} vCPU${n === 1 ? "" : "s"}: ${LIST} / ${PAUSE}`,
      n: String(n),
      ...results.ratio(nameOf(trace), n, LIST, PAUSE),
    })),
  );
}

function report(results: Results, scale: Scale): string {
  const { traces, vcpus } = sizesOf(scale);
  const tables = traces.map((trace) =>
    bootTable(trace, vcpus, (way, n) => {
      const figure = results.figure(nameOf(trace), n, way);
      return figure === undefined ? undefined : figure.median / 1e6;
    }),
  );
  return `${[...tables, RFC_TABLE].join("\n\n")}\n`;
}

export const boot: Group = {
  name: "boot",
  about: "total time of all commits of a boot, by number of vCPUs",
  cases,
  rows,
  report,
};
