/** A workload in each installed runtime, one after the other. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CHROMIUM, FIREFOX, findBrowser, launch } from "../../test/browser/browsers.js";
import { ISOLATED, startServer } from "../../test/browser/server.js";
import { RUNTIMES, type Runtime } from "../../test/runtimes/runtimes.js";
import { type Measured, type Skipped, WrongAnswer } from "../harness/case.js";
import type { Extent, WorkloadName, WorkloadTimes } from "./workloads.js";

const PROGRAM = fileURLToPath(new URL("./program.ts", import.meta.url));
const NODE: Runtime = { name: "Node", program: process.execPath, args: ["--import", "tsx"] };
/** A workload that takes longer is stuck. */
const WATCHDOG_MS = 120_000;

type Entry = Measured | Skipped;

/** A runtime that does not come to an end is no reason to lose the others. */
async function unlessItFails(name: string, entry: Promise<Entry>): Promise<Entry> {
  return await entry.catch((error: Error) => ({ name, skipped: error.message.split("\n")[0]! }));
}

/** @throws WrongAnswer if results differ from Node's */
export async function measureEverywhere(name: WorkloadName, n: number, extent: Extent): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const runtime of [NODE, ...RUNTIMES]) {
    entries.push(await unlessItFails(runtime.name, inProcess(runtime, name, n, extent)));
  }
  // A browser may take longer to start than all of npm test.
  for (const kind of extent === "smoke" ? [] : [CHROMIUM, FIREFOX]) {
    entries.push(await unlessItFails(kind.name, inBrowser(kind, name, n, extent)));
  }
  const measured = entries.filter((entry): entry is Measured => "samples" in entry);
  const [first] = measured;
  const other = measured.find(({ hash }) => hash !== first?.hash);
  if (first !== undefined && other !== undefined)
    throw new WrongAnswer(
      `${name}, n = ${n}: ${other.name} answers ${other.hash}, ${first.name} ${first.hash}`,
    );
  return entries;
}

async function inProcess(
  { name, program, args }: Runtime,
  workload: WorkloadName,
  n: number,
  extent: Extent,
): Promise<Entry> {
  if (program === undefined)
    return { name, skipped: `no ${name} among the installed packages: npm run test:runtimes installs it` };
  const argv = [...args, PROGRAM, workload, String(n), extent];
  const { stdout } = await promisify(execFile)(program, argv, { timeout: WATCHDOG_MS });
  const { version, ...times }: WorkloadTimes & { version: string } = JSON.parse(stdout);
  return { name: `${name} ${version}`, ...times };
}

async function inBrowser(
  kind: typeof CHROMIUM,
  workload: WorkloadName,
  n: number,
  extent: Extent,
): Promise<Entry> {
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
      // As text, because the compiler of this file would transform the import.
      const times = await page.evaluate(
        `import("/bench/runtimes/workloads.ts")
          .then(({ measureWorkload }) => measureWorkload(${JSON.stringify(workload)}, ${n}, "${extent}"))`,
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
