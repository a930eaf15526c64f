/**
 * `npm run test:site`: the site as its visitors get it, from a server that sets no headers, in Chromium and Firefox.
 * The vCPUs of the demo run, the benchmark measures, and at the width of a phone no page is wider than the screen.
 * Nobody complains: no error on a console, no address without a file. Closes with "N passed, N failed".
 */
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer-core";
import sirv from "sirv";
import * as assert from "uvu/assert";
import { type BrowserKind, CHROMIUM, FIREFOX, findBrowser, isRequired, launch } from "../browser/browsers.js";

const SITE = fileURLToPath(new URL("../../site/", import.meta.url));
/** The site is a folder of its host. */
const BASE = "/memslots/";
/** Longest wait for a page to be in a state. */
const WATCHDOG_MS = 120_000;
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
/** Tabs at a time: one loads while the other is looked at. */
const TABS = 2;

/** A tab, and what anybody complained about. */
class Visit {
  readonly page: Page;
  #complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(WATCHDOG_MS);
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) this.#complain(message.text());
    });
    page.on("pageerror", (error) => this.#complain(String(error)));
    page.on("response", (response) => {
      if (response.status() >= 400) this.#complain(`${response.status()} ${response.url()}`);
    });
  }

  static async start(browser: Browser, viewport: { width: number; height: number }): Promise<Visit> {
    const page = await browser.newPage();
    await page.setViewport(viewport);
    return new Visit(page);
  }

  #complain(text: string): void {
    this.#complaints.push(`${this.page.url()}: ${text}`);
  }

  /**
   * Wait until the service worker has loaded the page a second time, under its headers. The first load may complain
   * that it was ended; what is missing is missing the second time, too.
   */
  async isolated(): Promise<void> {
    await this.until("the page is isolated", "crossOriginIsolated");
    this.#complaints = [];
  }

  /** Wait until an expression is true in the page, whatever it loads meanwhile. @throws Error with the complaints */
  async until(what: string, isTrue: string): Promise<void> {
    await this.page.waitForFunction(isTrue).catch((error: unknown) => {
      throw new Error([`not seen: ${what}`, error, ...this.#complaints].join("\n"));
    });
  }

  /** The elements that reach beyond the screen, which a visitor would have to move sideways for. */
  tooWide(): Promise<string[]> {
    return this.page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      if (scrollWidth <= clientWidth) return [];
      const wide = [...document.body.querySelectorAll("*")].filter(
        (element) => element.getBoundingClientRect().right > clientWidth + 0.5,
      );
      const names = wide.map((element) => element.outerHTML.slice(0, 80));
      return [`${scrollWidth} pixels of ${clientWidth}`, ...names.slice(0, 5)];
    });
  }

  async end(): Promise<void> {
    await this.page.close();
    assert.equal(this.#complaints, []);
  }
}

type Check = (browser: Browser, url: string) => Promise<void>;

/** It opens playing, before a commit whose memory goes missing, and its vCPUs meet the hole. */
const demo: Check = async (browser, url) => {
  const visit = await Visit.start(browser, DESKTOP);
  await visit.page.goto(`${url}demo/`);
  await visit.isolated();
  await visit.until("it plays", `document.querySelector(".primary")?.textContent === "Pause"`);
  await visit.until("memory is missing", `document.querySelector(".missing text") !== null`);
  const hits = `[...document.querySelectorAll(".vcpus tbody tr td:nth-child(3)")]
    .map((cell) => Number(cell.textContent.replace(/\\D/g, "")))`;
  await visit.until("two vCPUs run", `(${hits}).filter((n) => n > 0).length >= 2`);
  const before = (await visit.page.evaluate(hits)) as number[];
  await visit.until("they go on", `(${hits}).every((n, i) => n > ${JSON.stringify(before)}[i])`);
  await visit.until("misses", `/[1-9]/.test(document.querySelector("[data-misses=oneByOne]")?.textContent)`);
  // The picture is drawn anew for the width that it has.
  await visit.page.setViewport(PHONE);
  await visit.until("it fits", "document.documentElement.scrollWidth <= innerWidth");
  await visit.end();
};

/** The benchmark measures all its cases. */
const bench: Check = async (browser, url) => {
  const visit = await Visit.start(browser, PHONE);
  await visit.page.goto(`${url}bench/`);
  await visit.isolated();
  await visit.until("the end", `document.documentElement.dataset.done !== undefined`);
  assert.match(await visit.page.$eval("#status", (status) => status.textContent ?? ""), /^done, \d+ cases$/);
  assert.ok((await visit.page.$$("figure svg")).length > 0);
  assert.equal(await visit.tooWide(), []);
  await visit.end();
};

/** Every page of the documents and the reference. */
const documents: Check = async (browser, url) => {
  const pages = readdirSync(SITE, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".html") && !/^(demo|bench)\b/.test(name),
  );
  assert.ok(pages.length > 100, `${pages.length} pages`);
  const queue = [...pages];
  const tab = async () => {
    const visit = await Visit.start(browser, PHONE);
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      await visit.page.goto(url + encodeURI(name));
      assert.equal(await visit.tooWide(), [], name);
    }
    await visit.end();
  };
  await Promise.all(Array.from({ length: TABS }, tab));
  console.log(`${pages.length} pages`);
};

/** The checks above are some: what they must find is there. */
const broken: Check = async (browser, url) => {
  const visit = await Visit.start(browser, PHONE);
  await visit.page.goto(url);
  await visit.page.evaluate(() => {
    document.querySelector("h1")!.style.width = "500px";
    console.error("broken on purpose");
    return fetch("none.html");
  });
  const [first = "", ...elements] = await visit.tooWide();
  assert.match(first, /^\d+ pixels of 390$/);
  assert.ok(elements.some((text) => text.startsWith("<h1")));
  const complaints = await visit.end().then(
    () => "",
    (error: unknown) => JSON.stringify((error as { actual?: unknown }).actual),
  );
  for (const part of ["broken on purpose", `404 ${url}none.html`]) assert.ok(complaints.includes(part), part);
};

const CHECKS: readonly [BrowserKind, Record<string, Check>][] = [
  [CHROMIUM, { demo, bench, documents, broken }],
  [FIREFOX, { demo, bench }],
];

const files = sirv(SITE);
const server = createServer((request, response) => {
  if (!request.url?.startsWith(BASE)) {
    response.writeHead(404).end();
    return;
  }
  request.url = request.url.slice(BASE.length - 1);
  files(request, response);
});
await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
const url = `http://localhost:${(server.address() as AddressInfo).port}${BASE}`;
let passed = 0;
let failed = 0;

async function attempt(title: string, work: () => Promise<void>): Promise<void> {
  const start = performance.now();
  const problem = await work().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (problem === undefined) passed++;
  else failed++;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${title}: ${problem === undefined ? "passed" : "FAILED"}, ${seconds} s`);
  if (problem !== undefined) console.log(problem);
}

for (const [kind, checks] of CHECKS) {
  const path = findBrowser(kind);
  if (path === undefined) {
    console.log(`skipped: no ${kind.name}`);
    if (isRequired(kind)) failed++;
    continue;
  }
  const { browser, close } = await launch(kind, path);
  for (const [name, check] of Object.entries(checks)) {
    await attempt(`${kind.name}, ${name}`, () => check(browser, url));
  }
  await close();
}
server.closeAllConnections();
server.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
