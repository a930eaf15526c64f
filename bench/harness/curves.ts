/**
 * Curves of cost against the number of slots, as SVG files that are readable on light and on dark pages.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { CaseResult } from "./case.js";

interface Picture {
  /** File name without ending. */
  readonly name: string;
  readonly title: string;
  /** Name of the case that is drawn at all its sizes. */
  readonly of: string;
  readonly unit: string;
  /** Ours, drawn thick. */
  readonly own: string;
  /** Short forms of long names; undefined for competitors left out because they equal another. */
  readonly labels?: Readonly<Record<string, string | undefined>>;
}

const PICTURES: readonly Picture[] = [
  {
    name: "lookup-native",
    title: "One random lookup in wasm and in native code, ns",
    of: "lookup uniform",
    unit: "ns per lookup",
    own: "engine, index alone",
    labels: {
      "native red-black tree": undefined,
      "engine, called wasm to wasm": undefined,
      "engine, index alone, as batches search it": "engine, in batches",
    },
  },
  {
    name: "lookup-js",
    title: "One random lookup called from JavaScript, ns",
    of: "js uniform",
    unit: "ns per lookup",
    own: "vcpu.gpaToHva in a section",
    labels: { "engine.gpaToHva": undefined, "binary search on Float64Array, last hit": undefined },
  },
  {
    name: "commit-js",
    title: "One list of 16 updates from JavaScript, us",
    of: "commit from JavaScript, 16 per list",
    unit: "us per list",
    own: "engine.setUserMemoryRegionList",
  },
  {
    name: "commit-index",
    title: "One update of the guest index in wasm, ns",
    of: "commit gfn index, 1 per list",
    unit: "ns per list",
    own: "engine, gfn index alone",
  },
];

const WIDTH = 760;
const HEIGHT = 420;
/** Room for the names at the right end of the curves. */
const LABEL_WIDTH = 250;
/** Least distance of two names in pixels. */
const LABEL_STEP = 15;
const OWN_COLOUR = "#d1242f";
const COLOURS = ["#0969da", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#1b7c83", "#bc4c00", "#6e7781"];
/** Text and lines take the colour of the page's scheme; a picture in a page cannot inherit it. */
const STYLE =
  "svg{color:#1f2328;font:12px system-ui,sans-serif;background:none}" +
  "@media(prefers-color-scheme:dark){svg{color:#e6edf3}}";

/** Write a picture for each subject that was measured. @returns the files */
export function drawCurves(folder: string, cases: readonly CaseResult[]): string[] {
  mkdirSync(folder, { recursive: true });
  return PICTURES.flatMap((picture) => {
    const measured = cases.filter((result) => result.name === picture.of);
    if (measured.length < 2) return [];
    const file = join(folder, `bench-${picture.name}.svg`);
    writeFileSync(file, `${draw(picture, measured)}\n`);
    return [file];
  });
}

interface Point {
  readonly name: string;
  readonly n: number;
  readonly cost: number;
}

function draw({ title, unit, own, labels = {} }: Picture, measured: readonly CaseResult[]): string {
  const scale = unit.startsWith("us") ? 1e3 : 1;
  const points = measured.flatMap(({ n, figures }) =>
    figures
      .filter(({ name }) => !(name in labels) || labels[name] !== undefined)
      .map(({ name, median }): Point => ({ name: labels[name] ?? name, n, cost: median / scale })),
  );
  const names = [...new Set(points.map((point) => point.name))];
  const colour = (name: string): string =>
    name === own
      ? OWN_COLOUR
      : COLOURS[names.filter((other) => other !== own).indexOf(name) % COLOURS.length]!;
  const { document } = parseHTML("<html><body></body></html>");
  const figure = Plot.plot({
    document: document as unknown as Document,
    width: WIDTH,
    height: HEIGHT,
    marginRight: LABEL_WIDTH,
    marginLeft: 50,
    marginTop: 40,
    style: { overflow: "visible" },
    x: {
      type: "log",
      base: 2,
      label: "slots",
      labelAnchor: "center",
      ticks: [...new Set(points.map((p) => p.n))],
      tickFormat: "d",
    },
    y: { type: "log", label: title, grid: true, tickFormat: (value: number) => axisLabel(value) },
    marks: [
      Plot.line(points, {
        x: "n",
        y: "cost",
        z: "name",
        stroke: (point: Point) => colour(point.name),
        strokeWidth: (point: Point) => (point.name === own ? 3.5 : 1.5),
      }),
      Plot.dot(points, { x: "n", y: "cost", r: 2.5, fill: (point: Point) => colour(point.name) }),
      ...endLabels(points, names, own, colour),
    ],
  });
  const style = document.createElement("style");
  style.textContent = STYLE;
  figure.prepend(style as unknown as Node);
  figure.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", title);
  return figure.outerHTML;
}

/** Powers of ten, and values halfway between them. */
function axisLabel(value: number): string {
  const digit = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  return Math.round(digit) === 1 || Math.round(digit) === 3 ? String(Number(value.toPrecision(1))) : "";
}

/** Names at the right ends, moved apart where curves end close together. */
function endLabels(
  points: readonly Point[],
  names: readonly string[],
  own: string,
  colour: (name: string) => string,
): Plot.Markish[] {
  const costs = points.map((point) => Math.log(point.cost));
  const low = Math.min(...costs);
  const pixels = (HEIGHT - 70) / (Math.max(...costs) - low);
  const ends = names
    .map((name) => points.filter((point) => point.name === name).reduce((a, b) => (b.n > a.n ? b : a)))
    .sort((a, b) => a.cost - b.cost);
  let last = Number.NEGATIVE_INFINITY;
  return ends.map((end) => {
    const at = (Math.log(end.cost) - low) * pixels;
    last = Math.max(at, last + LABEL_STEP);
    return Plot.text([end], {
      x: "n",
      y: "cost",
      text: "name",
      textAnchor: "start",
      dx: 8,
      dy: at - last,
      fill: colour(end.name),
      fontWeight: end.name === own ? "bold" : "normal",
    });
  });
}
