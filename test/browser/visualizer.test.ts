/**
 * The page of examples/visualizer in a real browser, from the server of `npm run demo` and from one without its
 * headers: real vCPUs in workers, on the engine, over shared memory.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer-core";
import sirv from "sirv";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CHROMIUM, findBrowser, isRequired, type Launched, launch } from "./browsers.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const BUILT = `${ROOT}build/visualizer`;
const DUMP = `${ROOT}test/traces/flatview/q35-5g-std.firmware-done.txt`;
const MICROVM = `${ROOT}test/traces/qemu/microvm-1g.jsonl.gz`;
/** Longest wait for the page to be in a state. */
const WATCHDOG_MS = 120_000;

interface Context {
  launched: Launched;
  server: ChildProcess;
  url: string;
  /** Served without the headers of isolation. */
  bareUrl: string;
  closeBare(): void;
}

/** A tab on the page, and everything that anybody complained about. */
class Demo {
  readonly page: Page;
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("response", (response) => {
      if (!response.ok()) this.complaints.push(`${response.status()} ${response.url()}`);
    });
  }

  static async open({ launched, url }: Context, at = url, width = 1280, playing = false): Promise<Demo> {
    const page = await launched.browser.newPage();
    page.setDefaultTimeout(WATCHDOG_MS);
    await page.setViewport({ width, height: 900 });
    const demo = new Demo(page);
    await page.goto(playing ? at : `${at}#paused`);
    await page.waitForSelector(".stage .box");
    return demo;
  }

  text(selector: string): Promise<string> {
    return this.page.$eval(selector, (element) => element.textContent ?? "");
  }

  async number(selector: string): Promise<number> {
    return Number((await this.text(selector)).replace(/\D/g, ""));
  }

  /** Wait until the text of an element matches. */
  async until(selector: string, pattern: RegExp): Promise<void> {
    await this.page.waitForFunction(
      (where, source) => new RegExp(source).test(document.querySelector(where)?.textContent ?? ""),
      {},
      selector,
      pattern.source,
    );
  }

  /** The number that an element shows once it has shown it for 30 frames: the counters are drawn late. */
  async settled(selector: string): Promise<number> {
    const handle = await this.page.waitForFunction(
      (where, state) => {
        const text = document.querySelector(where)?.textContent ?? "";
        state.frames = text === state.text ? state.frames + 1 : 0;
        state.text = text;
        return state.frames >= 30 ? text : false;
      },
      { polling: "raf" },
      selector,
      await this.page.evaluateHandle(() => ({ text: "", frames: 0 })),
    );
    return Number(String(await handle.jsonValue()).replace(/\D/g, ""));
  }

  async click(label: string): Promise<void> {
    await this.page.locator(`::-p-xpath(//button[.='${label}'])`).click();
  }

  /** No complaint was heard. */
  async close(): Promise<void> {
    await this.page.close();
    assert.equal(this.complaints, []);
  }
}

const WHERE = ".scale span";
const MISSES = { oneByOne: "[data-misses=oneByOne]", list: "[data-misses=list]" } as const;
const LOOKUPS = { oneByOne: "[data-lookups=oneByOne]", list: "[data-lookups=list]" } as const;

function build(): void {
  const { status, stdout, stderr } = spawnSync("npm", ["run", "--silent", "build:page"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  assert.is(status, 0, stdout + stderr);
}

function pages(path: string): void {
  const test = suite<Context>("the page");
  test.before(async (context) => {
    build();
    context.server = spawn(process.execPath, [`${ROOT}examples/visualizer/serve.mjs`, "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(context.server.stdout!, "data")) as [Buffer];
    context.url = line.toString().trim();
    const files = sirv(BUILT);
    const bare = createServer((request, response) => files(request, response));
    await new Promise<void>((resolve) => bare.listen(0, "localhost", resolve));
    context.bareUrl = `http://localhost:${(bare.address() as AddressInfo).port}/`;
    context.closeBare = () => {
      bare.closeAllConnections();
      bare.close();
    };
    context.launched = await launch(CHROMIUM, path);
  });
  test.after(async ({ launched, server, closeBare }) => {
    await launched?.close();
    server?.kill();
    closeBare?.();
  });

  test("plays a boot: vCPUs miss one by one, and find everything as a list", async (context) => {
    const demo = await Demo.open(context);
    const { page } = demo;
    await demo.until("h1", /memory map/);
    await demo.until(WHERE, /after commit 15, 2 of 27/);
    await page.select(".controls select", "8");
    await demo.click("Play");
    await demo.until(WHERE, /27 of 27/);
    const misses = await demo.number(MISSES.oneByOne);
    assert.ok(misses > 0, "misses one by one");
    assert.is(await demo.number(LOOKUPS.list), 0);
    await page.click("input[value=list]");
    const before = await demo.settled(MISSES.oneByOne);
    await demo.click("Play");
    await demo.until(WHERE, /[1-9] of 27/);
    await demo.until(WHERE, /27 of 27/);
    await demo.until(LOOKUPS.list, /[1-9]/);
    const lookups = await demo.number(LOOKUPS.list);
    assert.is(await demo.number(MISSES.list), 0);
    assert.is(await demo.settled(MISSES.oneByOne), before, "and none one by one meanwhile");
    console.log(`\none by one ${misses} misses, as lists 0 in ${lookups} lookups`);
    await demo.close();
  });

  test("it opens playing, at the commit whose memory goes missing", async (context) => {
    const demo = await Demo.open(context, undefined, undefined, true);
    await demo.until(".missing text", /missing/);
    await demo.until(".primary", /Pause/);
    await demo.until(MISSES.oneByOne, /[1-9]/);
    await demo.close();
  });

  test("a hole is open while a commit is half made: it is drawn, and misses go on and on", async (context) => {
    const demo = await Demo.open(context);
    await demo.until(WHERE, /after commit 15/);
    await demo.click("Step");
    await demo.until(".missing text", /1 GiB missing/);
    const first = await demo.number(MISSES.oneByOne);
    await demo.page.waitForFunction(
      (selector, least) =>
        Number(document.querySelector(selector)?.textContent?.replace(/\D/g, "")) > least + 1000,
      {},
      MISSES.oneByOne,
      first,
    );
    await demo.page.waitForSelector(".reader.miss");
    await demo.page.click("input[value=list]");
    await demo.page.waitForFunction(() => document.querySelector("g.missing text") === null);
    await demo.click("Step");
    await demo.until(".stage", /1 of 5 updates noted/);
    assert.is(await demo.page.$("g.missing text"), null, "as a list there is no hole");
    await demo.close();
  });

  test("everything can be done from the keyboard, and where the focus is can be seen", async (context) => {
    const demo = await Demo.open(context);
    const { page } = demo;
    const { keyboard } = page;
    await demo.until(WHERE, /after commit 15/);
    const seen: string[] = [];
    for (let i = 0; i < 9; i++) {
      await keyboard.press("Tab");
      const stop = await page.evaluate(() => {
        const element = document.activeElement as HTMLElement;
        const outlined = [element, element.closest("label") ?? element].some(
          (each) => getComputedStyle(each).outlineStyle !== "none",
        );
        const type = element.localName === "a" ? "link" : ((element as HTMLInputElement).type ?? "");
        return `${type === "submit" ? "button" : type}${outlined ? "" : " without outline"}`;
      });
      seen.push(stop);
    }
    assert.equal(seen.slice(0, 8), [
      "link",
      "select-one",
      "file",
      "radio",
      "button",
      "button",
      "select-one",
      "range",
    ]);
    await page.focus("input[type=range]");
    await keyboard.press("ArrowRight");
    await demo.until(WHERE, /after commit 44, 3 of 27/);
    await keyboard.press("Home");
    await demo.until(WHERE, /before commit 4/);
    await keyboard.press("End");
    await demo.until(WHERE, /27 of 27/);
    await page.focus("input[value=oneByOne]");
    await keyboard.press("ArrowDown");
    await page.waitForSelector(".mode.chosen input[value=list]");
    await page.focus(".primary");
    await keyboard.press("Space");
    await demo.until(".primary", /Pause/);
    await keyboard.press("Enter");
    await demo.until(".primary", /Play/);
    await demo.close();
  });

  test("files are opened when they are dropped, and by the button", async (context) => {
    const demo = await Demo.open(context);
    const { page } = demo;
    await drop(page, "mine.txt", readFileSync(DUMP).toString("base64"));
    await demo.until(WHERE, /before mine\.txt/);
    await demo.click("Step");
    await demo.page.focus("input[type=range]");
    await page.keyboard.press("End");
    await demo.until(WHERE, /after mine\.txt/);
    const lines = readFileSync(DUMP, "utf8").match(/^ {2}[0-9a-f]{16}/gm)!;
    await page.waitForFunction(
      (n) => document.querySelectorAll(".stage .box").length === n,
      {},
      2 * lines.length,
    );
    await (await page.$("input[type=file]"))!.uploadFile!(MICROVM as `${string}.gz`);
    await demo.until(WHERE, /of 3|before commit/);
    await demo.until("header", /microvm/);
    assert.is(await page.$("[role=alert]"), null);
    await drop(page, "none.txt", Buffer.from("hello").toString("base64"));
    await demo.until("[role=alert]", /none\.txt:1: neither a trace nor a dump/);
    await demo.until("header", /microvm/);
    await demo.close();
  });

  for (const width of [360, 768, 1280]) {
    test(`${width} pixels are wide enough`, async (context) => {
      const demo = await Demo.open(context, undefined, width);
      await demo.until(WHERE, /after commit 15/);
      const overflow = await demo.page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        const beyond = [...document.querySelectorAll("button, select, .mode, .box, .card, p, h1")].filter(
          (element) => element.getBoundingClientRect().right > innerWidth + 0.5,
        );
        return [scrollWidth - clientWidth, ...beyond.map(({ outerHTML }) => outerHTML.slice(0, 80))];
      });
      assert.equal(overflow, [0]);
      await demo.close();
    });
  }

  test("the colours follow the scheme, and nothing moves for those who want it still", async (context) => {
    const demo = await Demo.open(context);
    const paper = () => demo.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await demo.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
    const light = await paper();
    await demo.page.emulateMediaFeatures([
      { name: "prefers-color-scheme", value: "dark" },
      { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    assert.is.not(await paper(), light);
    const moving = await demo.page.evaluate(() =>
      [...document.querySelectorAll("*")].filter((element) => {
        const { animationName, transitionDuration } = getComputedStyle(element);
        return animationName !== "none" || transitionDuration !== "0s";
      }),
    );
    assert.is(moving.length, 0);
    await demo.close();
  });

  test("a page that is not isolated says what is missing, and plays without vCPUs", async (context) => {
    const demo = await Demo.open(context, context.bareUrl);
    await demo.until(".notice", /Cross-Origin-Opener-Policy.*Cross-Origin-Embedder-Policy.*npm run demo/);
    await demo.until(WHERE, /after commit 15/);
    await demo.click("Step");
    await demo.until(".missing text", /missing/);
    assert.is(await demo.page.$(".reader"), null);
    await demo.close();
  });

  test.run();
}

/** Drop a file on the page, as a person does. */
function drop(page: Page, name: string, base64: string): Promise<void> {
  return page.evaluate(
    (fileName, content) => {
      const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], fileName));
      for (const type of ["dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
      }
    },
    name,
    base64,
  );
}

const path = findBrowser(CHROMIUM);
if (path !== undefined) pages(path);
else {
  console.log(`skipped: no ${CHROMIUM.name}`);
  const missing = suite(CHROMIUM.name);
  missing("is not required", () => {
    assert.is(
      isRequired(CHROMIUM),
      false,
      `REQUIRED_BROWSERS names it, PATH has none of ${CHROMIUM.commands}`,
    );
  });
  missing.run();
}
