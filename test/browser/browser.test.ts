/** The package in a real browser: a page with module workers, cross-origin isolated, under a strict policy, and not. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type BrowserKind, CHROMIUM, FIREFOX, findBrowser, isRequired, launch } from "./browsers.js";
import { NESTED } from "./client/nested.js";
import {
  ALONE_SCENARIOS,
  type Facts,
  ISOLATED_SCENARIOS,
  type Scenarios,
  STRICT_SCENARIOS,
} from "./client/scenarios.js";
import { type Headers, ISOLATED, NO_WASM, STRICT, startServer } from "./server.js";
import { Tab, WATCHDOG_MS } from "./tab.js";
import { findWebKit, WEBKIT, WebKit, type WebKitPrograms } from "./webkit.js";

const server = suite("server");

server("the headers of isolation on every answer, and on none", async () => {
  for (const headers of [{}, ISOLATED, { ...ISOLATED, ...STRICT }]) {
    const { url, close } = await startServer(headers);
    for (const path of ["", "dist/index.js", "test/browser/client/worker.ts", "favicon.ico"]) {
      const response = await fetch(url + path);
      assert.ok(response.ok, path);
      for (const name of Object.keys({ ...ISOLATED, ...STRICT })) {
        assert.is(response.headers.get(name), (headers as Headers)[name] ?? null, `${path} ${name}`);
      }
    }
    await close();
  }
});

server("modules without types and with paths, and no file beside them", async () => {
  const { url, close } = await startServer({});
  const text = await (await fetch(`${url}test/browser/client/worker.js`)).text();
  assert.not.match(text, "interface");
  const steps = await (await fetch(`${url}test/browser/client/steps.ts`)).text();
  assert.match(steps, /from "\/dist\/index\.js"/);
  for (const path of ["package.json", "dist/../package.json", "dist/%2e%2e/package.json", "dist/none.js"]) {
    assert.is((await fetch(url + path)).status, 404, path);
  }
  await close();
});

server.run();

/** A tab on the test page, and what ends its browser. */
interface Opener {
  open(url: string): Promise<Pick<Tab, "run" | "close">>;
  close(): Promise<void>;
}

const launcher = (kind: BrowserKind, path: string) => async (): Promise<Opener> => {
  const { browser, close } = await launch(kind, path);
  return { open: (url) => Tab.open(browser, url), close };
};

/** One page under `headers` per scenario. */
function pages(start: () => Promise<Opener>, title: string, headers: Headers, scenarios: Scenarios): void {
  const test = suite<{ open(): ReturnType<Opener["open"]>; close(): Promise<void> }>(title);
  test.before(async (context) => {
    const { url, close } = await startServer(headers);
    const browser = await start();
    context.open = () => browser.open(url);
    context.close = async () => {
      await browser.close();
      await close();
    };
  });
  test.after(({ close }) => close());
  for (const name of Object.keys(scenarios)) {
    test(name, async ({ open }) => {
      const tab = await open();
      const start = performance.now();
      try {
        const facts = await tab.run(name);
        console.log(`\n${name}: ${((performance.now() - start) / 1000).toFixed(1)} s${shown(facts)}`);
      } finally {
        await tab.close();
      }
    });
  }
  test.run();
}

function shown(facts: Facts): string {
  return Object.entries(facts)
    .map(([name, value]) => `, ${name} ${value}`)
    .join("");
}

/** A policy without 'wasm-unsafe-eval'. */
function refusedByPolicy(kind: BrowserKind, path: string): void {
  const test = suite(`${kind.name}, policy without the word`);
  test("the error says what to add", async () => {
    const { url, close } = await startServer(NO_WASM);
    const { browser, close: quit } = await launch(kind, path);
    try {
      const page = await browser.newPage();
      await page.goto(url, { timeout: WATCHDOG_MS });
      const answer = await page.evaluate(async (entry) => {
        const { MemslotEngine } = (await import(entry)) as typeof import("memslots");
        return MemslotEngine.create().then(
          () => "created",
          (error: Error) => error.message,
        );
      }, "/dist/index.js");
      assert.match(answer, "add 'wasm-unsafe-eval' to script-src of the Content-Security-Policy");
    } finally {
      await quit();
      await close();
    }
  });
  test.run();
}

/**
 * In Firefox 153 a worker that has started workers before may never return from `new Worker`: four of five such workers
 * did not within five rounds of three workers each, with nothing else on the page. A page's own workers do not suffer.
 */
function isolatedScenarios(kind: BrowserKind): Scenarios {
  if (kind !== FIREFOX) return ISOLATED_SCENARIOS;
  console.log(
    `skipped: ${Object.keys(NESTED).join(", ")}: in Firefox 153 "new Worker" in a worker may never return`,
  );
  return Object.fromEntries(Object.entries(ISOLATED_SCENARIOS).filter(([name]) => !(name in NESTED)));
}

for (const kind of [CHROMIUM, FIREFOX]) {
  const path = findBrowser(kind);
  if (path !== undefined) {
    const { name } = kind;
    const start = launcher(kind, path);
    pages(start, `${name}, isolated`, ISOLATED, isolatedScenarios(kind));
    pages(start, `${name}, isolated, strict policy`, { ...ISOLATED, ...STRICT }, STRICT_SCENARIOS);
    pages(start, `${name}, not isolated`, {}, ALONE_SCENARIOS);
    refusedByPolicy(kind, path);
  } else notRequired(kind);
}

function notRequired(kind: Pick<BrowserKind, "name" | "commands">): void {
  console.log(`skipped: no ${kind.name}`);
  const missing = suite(kind.name);
  missing("is not required", () => {
    assert.is(isRequired(kind), false, `REQUIRED_BROWSERS names it, PATH has none of ${kind.commands}`);
  });
  missing.run();
}

/** WebKitGTK keeps SharedArrayBuffer from an isolated page, unless a variable says otherwise. */
function withoutSharedMemory(programs: WebKitPrograms): void {
  const test = suite("WebKit, isolated without SharedArrayBuffer");
  test("one thread, and the reason names what is missing", async () => {
    const { url, close } = await startServer(ISOLATED);
    const browser = await WebKit.launch(programs, false);
    try {
      const page = await browser.open(url);
      const facts = await page.evaluate<[boolean, boolean, string]>(
        `import("/dist/index.js").then(({ MemslotEngine }) => MemslotEngine.create()).then(({ capabilities }) =>
          [crossOriginIsolated, capabilities.sharing, capabilities.reason])`,
      );
      assert.equal(facts.slice(0, 2), [true, false]);
      assert.match(facts[2], "this runtime has no SharedArrayBuffer");
    } finally {
      await browser.close();
      await close();
    }
  });
  test.run();
}

const webkit = findWebKit();
if (webkit === undefined) notRequired(WEBKIT);
else {
  const start = () => WebKit.launch(webkit);
  pages(start, "WebKit, isolated", ISOLATED, ISOLATED_SCENARIOS);
  pages(start, "WebKit, isolated, strict policy", { ...ISOLATED, ...STRICT }, STRICT_SCENARIOS);
  pages(start, "WebKit, not isolated", {}, ALONE_SCENARIOS);
  withoutSharedMemory(webkit);
}
