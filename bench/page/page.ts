/** Starts the worker and draws what it has measured so far. */
import * as Plot from "@observablehq/plot";
import type { CaseResult } from "../harness/case.js";
import { time } from "../harness/table.js";
import type { PageMessage } from "./measure.js";

const status = document.querySelector<HTMLElement>("#status")!;
const curves = document.querySelector<HTMLElement>("#curves")!;
const results: CaseResult[] = [];
/** Of a figure, in pixels; a phone has less. */
const WIDTH_MAX = 720;

const worker = new Worker(new URL("./measure.js", import.meta.url), { type: "module" });
worker.onerror = ({ message }) => end(`the worker failed: ${message}`);
worker.onmessage = ({ data }: MessageEvent<PageMessage>) => {
  if ("error" in data) end(`not measured: ${data.error}`);
  else if ("done" in data) end(`done, ${results.length} cases`);
  else {
    results.push(data.result);
    status.textContent = `${data.left} cases left`;
    curves.replaceChildren(...[...new Set(results.map(({ name }) => name))].map(figureOf));
  }
};

function end(text: string): void {
  status.textContent = text;
  document.documentElement.dataset.done = text;
}

function figureOf(name: string): HTMLElement {
  const cases = results.filter((result) => result.name === name);
  const points = cases.flatMap(({ n, figures }) =>
    figures.map((figure) => ({ slots: n, competitor: figure.name, ns: figure.median })),
  );
  const channels = { x: "slots", y: "ns", stroke: "competitor", z: "competitor" };
  const chart = Plot.plot({
    title: `${name}, time of one`,
    ...{ width: Math.min(WIDTH_MAX, curves.clientWidth), height: 320, marginLeft: 50, grid: true },
    style: { background: "none" },
    x: { type: "log", base: 2, label: "slots", ticks: cases.map(({ n }) => n), tickFormat: String },
    y: { type: "log", label: "ns" },
    color: { legend: true },
    marks: [Plot.lineY(points, { ...channels, marker: true }), Plot.tip(points, Plot.pointer(channels))],
  });
  const figure = document.createElement("figure");
  figure.append(chart, tableOf(cases));
  return figure;
}

function tableOf(cases: readonly CaseResult[]): HTMLElement {
  const table = document.createElement("table");
  const names = [...new Set(cases.flatMap(({ figures }) => figures.map((figure) => figure.name)))];
  const row = (tag: "td" | "th", cells: readonly string[]): void => {
    const line = table.insertRow();
    for (const [i, text] of cells.entries()) {
      const cell = document.createElement(i === 0 ? "th" : tag);
      cell.textContent = text;
      line.append(cell);
    }
  };
  row("th", ["slots", ...cases.map(({ n }) => String(n))]);
  for (const name of names) {
    const figures = cases.map(({ figures }) => figures.find((figure) => figure.name === name));
    row("td", [name, ...figures.map((figure) => (figure === undefined ? "" : time(figure.median)))]);
  }
  const box = document.createElement("div");
  box.className = "table";
  box.append(table);
  return box;
}
