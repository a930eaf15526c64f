/**
 * `npm run test:bundlers`: the packed package as its users install it. Each bundler builds a page whose two vCPUs run
 * in workers under lists, in Chromium; Vite serves it unbundled, too. Node imports and requires the package, TypeScript
 * finds the declarations of every entry. Closes with "N passed, N failed".
 */
import { join } from "node:path";
import type { Browser } from "puppeteer-core";
import * as assert from "uvu/assert";
import { CHROMIUM, findBrowser, launch } from "../browser/browsers.js";
import { checkPage, withFolder, withServer } from "./pages.js";
import { Projects, run } from "./projects.js";

type Check = (folder: string, browser: Browser) => Promise<void>;

const BUILT_PAGE: Check = async (folder, browser) => {
  const output = await run(folder, "npm", "run", "--silent", "build");
  assert.not.match(output, /warning/i);
  await withFolder(join(folder, "dist"), (url) => checkPage(browser, url));
};

const SERVED_PAGE: Check = (folder, browser) =>
  withServer(folder, ["node_modules/vite/bin/vite.js", "--port", "0"], (url) => checkPage(browser, url));

const script =
  (name: string): Check =>
  async (folder) => {
    await run(folder, "npm", "run", "--silent", name);
  };

const typed =
  (resolution: string): Check =>
  async (folder) => {
    await run(folder, "npx", "tsc", "--project", `tsconfig.${resolution}.json`);
  };

/** What is checked in each project. */
const PROJECTS: Record<string, Record<string, Check>> = {
  vite: { dev: SERVED_PAGE, build: BUILT_PAGE },
  webpack: { build: BUILT_PAGE },
  rollup: { build: BUILT_PAGE },
  esbuild: { build: BUILT_PAGE },
  node: { import: script("import"), require: script("require") },
  typescript: { bundler: typed("bundler"), node16: typed("node16"), nodenext: typed("nodenext") },
};

async function main(): Promise<void> {
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
    const queue = Object.keys(PROJECTS);
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
