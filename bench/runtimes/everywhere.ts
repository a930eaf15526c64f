/** A workload in each runtime that is on this machine, one after the other. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CHROMIUM, FIREFOX, findBrowser, launch } from "../../test/browser/browsers.js";
import { ISOLATED, startServer } from "../../test/browser/server.js";
import { RUNTIMES, type Runtime } from "../../test/runtimes/runtimes.js";
import type { Measured, Skipped } from "../harness/case.js";
import type { WorkloadName, WorkloadTimes } from "./workloads.js";

const PROGRAM = fileURLToPath(new URL("./program.ts", import.meta.url));
const NODE: Runtime = { name: "Node", program: process.execPath, args: ["--import", "tsx"] };
/** A workload that takes longer is stuck. */
const WATCHDOG_MS = 120_000;

type Entry = Measured | Skipped;

/** @throws Error if a runtime fails, or answers something else than Node */
export async function measureEverywhere(name: WorkloadName, n: number, smoke: boolean): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const runtime of [NODE, ...RUNTIMES]) entries.push(await inProcess(runtime, name, n, smoke));
  // A browser takes longer to start than all of npm test may.
  if (!smoke) for (const kind of [CHROMIUM, FIREFOX]) entries.push(await inBrowser(kind, name, n));
  const measured = entries.filter((entry): entry is Measured => "samples" in entry);
  const [first] = measured;
  const other = measured.find(({ hash }) => hash !== first?.hash);
  if (first !== undefined && other !== undefined)
    throw new Error(`${name}, n = ${n}: ${other.name} answers ${other.hash}, ${first.name} ${first.hash}`);
  return entries;
}

async function inProcess(
  { name, program, args }: Runtime,
  workload: WorkloadName,
  n: number,
  smoke: boolean,
): Promise<Entry> {
  if (program === undefined) return { name, skipped: `no ${name} among the installed packages` };
  const argv = [...args, PROGRAM, workload, String(n), smoke ? "smoke" : "full"];
  const { stdout } = await promisify(execFile)(program, argv, { timeout: WATCHDOG_MS });
  const { version, ...times }: WorkloadTimes & { version: string } = JSON.parse(stdout);
  return { name: `${name} ${version}`, ...times };
}

async function inBrowser(kind: typeof CHROMIUM, workload: WorkloadName, n: number): Promise<Entry> {
  const { name } = kind;
  const path = findBrowser(kind);
  if (path === undefined) return { name, skipped: `no ${name} on this machine` };
  const server = await startServer(ISOLATED);
  try {
    const { browser, close } = await launch(kind, path);
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(WATCHDOG_MS);
      await page.goto(server.url);
      // As text: the compiler of this file would make something of an import that the page is to make.
      const times = await page.evaluate(
        `import("/bench/runtimes/workloads.ts")
          .then(({ measureWorkload }) => measureWorkload(${JSON.stringify(workload)}, ${n}, false))`,
      );
      const version = (await browser.version()).replace(/^.*\//, "");
      return { name: `${name} ${version}`, ...(times as WorkloadTimes) };
    } finally {
      await close();
    }
  } finally {
    await server.close();
  }
}
