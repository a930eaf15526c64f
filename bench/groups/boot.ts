/**
 * The RFC's measurement with real boots: the time of a commit, by number of vCPUs in worker threads. The median of
 * single commits and the sum over a boot, which is the RFC's own figure; with more vCPUs than processors a sum consists
 * mostly of the time slices in which the writing thread waits for a processor.
 */
import { type BootTimes, measureBoot } from "../boot/measure.js";
import { bootTable, type FigureName, RFC_TABLE } from "../boot/table.js";
import { WAYS, type Way } from "../boot/ways.js";
import {
  type Case,
  type Group,
  type Measured,
  NOT_RUN,
  type Results,
  type Row,
  type Scale,
} from "../harness/case.js";
import { quartilesOf } from "../harness/statistics.js";

const TRACES = ["pc-1g-reset", "q35-1g-default"];
const VCPUS = [1, 2, 4, 8, 16, 24];
const LIST: Way = "list";
const BARRIER: Way = "list, barrier";
const PAUSE: Way = "pause all, one by one";

/** The more vCPUs share a processor, the longer a boot takes, and the less the compiler matters. */
function optionsFor(vcpus: number, { smoke, quick }: Scale): { rounds: number; warmUps: number } {
  if (smoke) return { rounds: 1, warmUps: 0 };
  if (quick) return { rounds: Math.max(3, Math.ceil(8 / vcpus)), warmUps: 1 };
  return { rounds: Math.max(8, Math.ceil(48 / vcpus)), warmUps: Math.ceil(8 / vcpus) };
}

function sizesOf({ smoke }: Scale): { traces: readonly string[]; vcpus: readonly number[] } {
  return smoke ? { traces: ["microvm-1g"], vcpus: [1, 2] } : { traces: TRACES, vcpus: VCPUS };
}

function nameOf(trace: string): string {
  return `boot ${trace}`;
}

/** A way's figure among those of a case; that of single commits has the way's own name. */
function figureOf(way: Way, figure: FigureName): string {
  return figure === "commit" ? way : `${way}, ${figure}`;
}

const SAMPLES: Readonly<Record<FigureName, keyof BootTimes>> = {
  commit: "commits",
  sum: "sums",
  own: "ownSums",
  section: "perSection",
};

/** A boot with more vCPUs takes seconds. */
const VCPUS_QUICK_MAX = 8;

function cases(scale: Scale): Case[] {
  const { traces, vcpus } = sizesOf(scale);
  const few = vcpus.filter((n) => n <= VCPUS_QUICK_MAX);
  return (scale.quick ? traces.slice(0, 1) : traces).flatMap((trace) =>
    (scale.quick ? few : vcpus).map((n) => ({
      name: nameOf(trace),
      n,
      unit: "commit",
      prepare: async (): Promise<Measured[]> => {
        const times = await measureBoot(trace, n, optionsFor(n, scale));
        return WAYS.flatMap((way) =>
          (Object.keys(SAMPLES) as FigureName[])
            .map((figure) => ({
              name: figureOf(way, figure),
              samples: times.get(way)![SAMPLES[figure]].map((ms) => ms * 1e6),
            }))
            .filter(({ samples }) => samples.length > 0),
        );
      },
    })),
  );
}

function rows(results: Results, scale: Scale): Row[] {
  const { traces, vcpus } = sizesOf(scale);
  const row = (
    trace: string,
    n: number,
    what: string,
    over: string,
    under: string,
    more: Pick<Row, "target" | "atLeast">,
  ): Row => ({
    id: "RFC",
    what: `${nameOf(trace)}, ${n} vCPU${n === 1 ? "" : "s"}: ${what}`,
    n: String(n),
    ...results.ratio(nameOf(trace), n, over, under),
    ...more,
  });
  const each = traces.flatMap((trace) =>
    vcpus.flatMap((n) => [
      row(trace, n, `commit p50, ${LIST} / ${PAUSE}`, LIST, PAUSE, { target: 1 }),
      row(trace, n, `commit p50, ${BARRIER} / ${PAUSE}`, BARRIER, PAUSE, { target: 1.1 }),
    ]),
  );
  const sum = `sum of a boot, median over all boots, ${LIST} / ${PAUSE}`;
  const sections = `sections of the readers, median over all boots, ${LIST} / ${PAUSE}`;
  return [
    ...each,
    { ...overAll(results, scale, sum, figureOf(LIST, "sum"), figureOf(PAUSE, "sum")), target: 1 },
    {
      ...overAll(results, scale, sections, figureOf(PAUSE, "section"), figureOf(LIST, "section")),
      ...{ target: 1, atLeast: true },
    },
  ];
}

/**
 * A row over all boots: of one boot with one number of vCPUs, sums and sections spread by a third and more around their
 * ratio, because the scheduler decides who runs.
 */
function overAll(
  results: Results,
  scale: Scale,
  what: string,
  over: string,
  under: string,
): Omit<Row, "target"> {
  const { traces, vcpus } = sizesOf(scale);
  const ratios = traces.flatMap((trace) => vcpus.map((n) => results.ratio(nameOf(trace), n, over, under)));
  const medians = ratios.flatMap(({ measured }) => (measured === undefined ? [] : [measured[1]]));
  const missing = ratios.find(({ measured }) => measured === undefined);
  return {
    ...{ id: "RFC", what, n: "" },
    ...(missing === undefined
      ? { measured: quartilesOf(medians) }
      : { measured: undefined, skipped: missing.skipped ?? NOT_RUN }),
  };
}

function report(results: Results, scale: Scale): string {
  const { traces, vcpus } = sizesOf(scale);
  const tables = traces.map((trace) =>
    bootTable(trace, vcpus, (figure, way, n) => {
      const found = results.figure(nameOf(trace), n, figureOf(way, figure));
      return found === undefined ? undefined : found.median / 1e6;
    }),
  );
  return `${[...tables, RFC_TABLE].join("\n\n")}\n`;
}

export const boot: Group = {
  name: "boot",
  about: "what a commit of a boot takes, by number of vCPUs",
  cases,
  rows,
  report,
};
