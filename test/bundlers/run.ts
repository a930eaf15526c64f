/**
 * `npm run test:bundlers`: the packed package as its users install it. Each bundler builds a page whose two vCPUs run
 * in workers under lists, in Chromium; Vite serves it unbundled, too, and Next from its server. Node imports and
 * requires the package, TypeScript finds the declarations of every entry; Vitest and Jest run a test, Miniflare a
 * worker. Arguments choose projects. Closes with "N passed, N failed".
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "puppeteer-core";
import * as assert from "uvu/assert";
import { CHROMIUM, findBrowser, launch } from "../browser/browsers.js";
import { RUNTIMES } from "../runtimes/runtimes.js";
import { checkPage, withFolder, withServer } from "./pages.js";
import { Projects, run } from "./projects.js";

type Check = (folder: string, browser: Browser) => Promise<void>;

/** Node's word about a feature that a runner uses, as Jest does for modules: it says nothing of the package. */
const EXPERIMENTAL = /^\(node:\d+\) ExperimentalWarning: .*\n\(Use `node --trace-warnings .*\n/gm;

const script =
  (name: string): Check =>
  async (folder) => {
    const output = await run(folder, "npm", "run", "--silent", name);
    assert.not.match(output.replace(EXPERIMENTAL, ""), /warning/i);
  };

const BUILT_PAGE: Check = async (folder, browser) => {
  await script("build")(folder, browser);
  await withFolder(join(folder, "dist"), (url) => checkPage(browser, url));
};

/** The page from the server that a program of the project's is. */
const servedPage =
  (...program: string[]): Check =>
  (folder, browser) =>
    withServer(folder, [...program, "--port", "0"], (url) => checkPage(browser, url));

const VITE = { dev: servedPage("node_modules/vite/bin/vite.js"), build: BUILT_PAGE };

const typed =
  (resolution: string): Check =>
  async (folder) => {
    await run(folder, "npx", "tsc", "--project", `tsconfig.${resolution}.json`);
  };

/** The compiler of version 7, which is another program. */
const TYPED_7: Check = async (folder) => {
  await run(
    folder,
    process.execPath,
    "node_modules/typescript7/bin/tsc",
    "--project",
    "tsconfig.bundler.json",
  );
};

/** Bun builds what is beside its own program. */
const BUN_PAGE: Check = async (folder, browser) => {
  const program = RUNTIMES.find(({ name }) => name === "Bun")?.program;
  if (program === undefined) throw new Error("no Bun in tools/runtimes");
  const entries = ["page.js", "vcpu.js"];
  await run(
    folder,
    program,
    "build",
    ...entries,
    "--outdir=dist",
    "--target=browser",
    "--splitting",
    "--minify",
  );
  cpSync(join(folder, "index.html"), join(folder, "dist/index.html"));
  await withFolder(join(folder, "dist"), (url) => checkPage(browser, url));
};

/** The checks of each project. */
const PROJECTS: Record<string, Record<string, Check>> = {
  vite: VITE,
  "vite7-exclude": VITE,
  "vite7-wasm": VITE,
  webpack: { build: BUILT_PAGE },
  rollup: { build: BUILT_PAGE },
  esbuild: { build: BUILT_PAGE },
  rspack: { build: BUILT_PAGE },
  parcel: { build: BUILT_PAGE },
  rolldown: { build: BUILT_PAGE },
  bun: { build: BUN_PAGE },
  next: { build: script("build"), start: servedPage("node_modules/next/dist/bin/next", "start") },
  vitest: { test: script("test") },
  jest: { test: script("test") },
  miniflare: { test: script("test") },
  node: { import: script("import"), require: script("require") },
  typescript: {
    "without DOM": typed("nodom"),
    "version 7": TYPED_7,
    bundler: typed("bundler"),
    node16: typed("node16"),
    nodenext: typed("nodenext"),
  },
};

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((name) => !Object.hasOwn(PROJECTS, name));
  if (unknown !== undefined) {
    console.error(`test:bundlers: no project "${unknown}", there are ${Object.keys(PROJECTS).join(", ")}`);
    process.exitCode = 2;
    return;
  }
  const path = findBrowser(CHROMIUM);
  if (path === undefined) throw new Error(`no ${CHROMIUM.name}: PATH has none of ${CHROMIUM.commands}`);
  const { browser, close } = await launch(CHROMIUM, path);
  const projects = new Projects();
  let passed = 0;
  let failed = 0;
  async function attempt(title: string, work: () => Promise<void>): Promise<boolean> {
    const start = performance.now();
    const problem = await work().catch((error: unknown) => error);
    if (problem === undefined) passed++;
    else failed++;
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`${title}: ${problem === undefined ? "passed" : "failed"}, ${seconds} s`);
    if (problem !== undefined) console.log(problem);
    return problem === undefined;
  }
  async function checkProject(name: string): Promise<void> {
    let folder = "";
    const made = await attempt(`${name} install`, async () => {
      folder = await projects.make(name);
    });
    if (!made) return;
    for (const [what, check] of Object.entries(PROJECTS[name]!)) {
      await attempt(`${name} ${what}`, () => check(folder, browser));
    }
  }
  try {
    await projects.pack();
    const queue = wanted.length > 0 ? [...wanted] : Object.keys(PROJECTS);
    // One waits for the network while the other computes.
    const lane = async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) await checkProject(name);
    };
    await Promise.all([lane(), lane()]);
  } finally {
    await close();
    projects.remove();
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
