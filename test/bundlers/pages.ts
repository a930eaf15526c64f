/** The page of a project in Chromium, served out of a folder or by a program of the project's own. */
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "puppeteer-core";
import sirv from "sirv";
import * as assert from "uvu/assert";
import { ISOLATED } from "../browser/server.js";

/** The longest takes a tenth of this. */
const WATCHDOG_MS = 120_000;
/** Commits of app/page.js: the first, and 100 rounds of two. */
const COMMITS = 201;

/** The result of app/page.js. */
type Answer = { error: string } | { commits: number; vcpus: { reads: number; misses: number }[] };

/** Two vCPUs have read, and missed nothing; nobody has complained. */
export async function checkPage(browser: Browser, url: string): Promise<void> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", ({ url: address }) => complaints.push(address()));
  await page.goto(url, { timeout: WATCHDOG_MS });
  // A dev server may load the page anew once it has seen what the page imports.
  const handle = await page
    .waitForFunction(() => (globalThis as { answer?: unknown }).answer, { timeout: WATCHDOG_MS })
    .catch((error) => {
      throw new Error([error, ...complaints].join("\n"));
    });
  const answer = (await handle.jsonValue()) as Answer;
  await page.close();
  assert.equal(complaints, []);
  if ("error" in answer) throw new Error(answer.error);
  assert.is(answer.commits, COMMITS);
  assert.is(answer.vcpus.length, 2);
  for (const { reads, misses } of answer.vcpus) {
    assert.ok(reads > 0);
    assert.is(misses, 0, `of ${reads} reads`);
  }
}

/** Serve a folder while `use` runs. */
export async function withFolder(folder: string, use: (url: string) => Promise<void>): Promise<void> {
  const files = sirv(folder, {
    setHeaders(response) {
      for (const [name, value] of Object.entries(ISOLATED)) response.setHeader(name, value);
    },
  });
  const server = createServer((request, response) => files(request, response));
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  try {
    await use(`http://localhost:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Run a server of the project's while `use` runs; the first address that it prints is its own. */
export async function withServer(
  folder: string,
  args: readonly string[],
  use: (url: string) => Promise<void>,
): Promise<void> {
  const server = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  try {
    let output = "";
    const url = await new Promise<string>((resolve, reject) => {
      server.stdout.on("data", (text) => {
        output += text;
        // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a terminal
        const found = /(http:\/\/localhost:\d+\/?)\s/.exec(output.replace(/\x1b\[\d+m/g, ""));
        if (found !== null) resolve(found[1]!);
      });
      server.on("close", () => reject(new Error(`${args.join(" ")} has ended\n${output}`)));
    });
    await use(url);
  } finally {
    server.kill();
  }
}
