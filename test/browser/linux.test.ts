/**
 * The page of examples/riscv-linux in real browsers: Linux boots on two harts in workers, the buttons change the map
 * under it, and a snapshot is taken and gone back to. Without the guest there is nothing to boot: npm run fetch:linux.
 */
import type { Page } from "puppeteer-core";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GUEST_FILES, hasGuest, linuxGuest, MISSING } from "../../examples/riscv-linux/guest.js";
import { type ServedPage, servePage } from "../../examples/riscv-linux/page/serve.js";
import {
  type BrowserKind,
  CHROMIUM,
  FIREFOX,
  findBrowser,
  isRequired,
  type Launched,
  launch,
} from "./browsers.js";

/** Longest wait for the page to be in a state. */
const WATCHDOG_MS = 240_000;

interface Context {
  launched: Launched;
  served: ServedPage;
  bare: ServedPage;
}

/** A tab on the page, and everything that anybody complained about. */
class Tab {
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

  static async open({ launched }: Context, { url }: ServedPage): Promise<Tab> {
    const page = await launched.browser.newPage();
    page.setDefaultTimeout(WATCHDOG_MS);
    const tab = new Tab(page);
    await page.goto(url);
    return tab;
  }

  /** Wait until a line on the terminal is `wanted`. */
  async line(wanted: string): Promise<void> {
    await this.page.waitForFunction(
      (text) =>
        [...document.querySelectorAll(".xterm-rows > div")].some(
          (row) => (row.textContent ?? "").replaceAll("\u00a0", " ").trimEnd() === text,
        ),
      {},
      wanted,
    );
  }

  async type(command: string): Promise<void> {
    await this.page.focus(".xterm-helper-textarea");
    await this.page.keyboard.type(`${command}\n`);
  }

  async status(pattern: RegExp): Promise<RegExpExecArray> {
    await this.page.waitForFunction(
      (source) => new RegExp(source).test(document.querySelector("#status")?.textContent ?? ""),
      {},
      pattern.source,
    );
    return pattern.exec(await this.page.$eval("#status", ({ textContent }) => textContent ?? ""))!;
  }

  /** Wait until so many slots of a kind are drawn. */
  async slots(selector: string, count: number): Promise<void> {
    await this.page.waitForFunction(
      (what, wanted) => document.querySelectorAll(what).length === wanted,
      {},
      selector,
      count,
    );
  }

  async close(): Promise<void> {
    await this.page.close();
    assert.equal(this.complaints, []);
  }
}

function pages(kind: BrowserKind, path: string): void {
  const test = suite<Context>(`Linux in ${kind.name}`);
  test.before(async (context) => {
    context.served = await servePage(0);
    context.bare = await servePage(0, false);
    context.launched = await launch(kind, path);
  });
  test.after(async ({ launched, served, bare }) => {
    await launched?.close();
    served?.close();
    bare?.close();
  });

  test("boots; the map changes under it; a snapshot is gone back to", async (context) => {
    const tab = await Tab.open(context, context.served);
    await tab.line("init starts");
    await tab.line("guest#");
    const { files } = linuxGuest();
    // One job for each hart.
    await tab.type("clear; stage=before; (sha256sum /data/0 & sha256sum /data/1; wait)");
    await tab.status(/hart 0 [1-9]\d* MIPS, hart 1 [1-9]\d* MIPS/);
    for (const { name, sha256 } of files.slice(0, 2)) await tab.line(`${sha256}  ${name}`);

    await tab.slots("#slots > div", 1);
    await tab.page.click("#split");
    await tab.slots("#slots > div", 5);
    await tab.page.click("#move");
    await tab.slots("#slots > .moved", 1);
    await tab.page.click("#move");
    await tab.slots("#slots > .moved", 0);
    await tab.page.click("#save");
    await tab.page.waitForSelector("#restore:enabled");
    await tab.page.click("#merge");
    await tab.slots("#slots > div", 4);
    await tab.page.click("#merge");
    await tab.slots("#slots > div", 1);
    await tab.type("clear; stage=after; echo it is $stage");
    await tab.line("it is after");

    await tab.page.click("#restore");
    await tab.slots("#slots > div", 5);
    await tab.type("clear; echo it was $stage");
    await tab.line("it was before");

    await tab.page.click("#storm");
    await tab.status(/[1-9]\d{2,} changes of the map/);
    await tab.type("clear; sha256sum /data/2; dmesg | grep -cE 'Oops|panic|BUG|Unable to handle'");
    await tab.line(`${files[2]!.sha256}  ${files[2]!.name}`);
    await tab.line("0");
    await tab.page.click("#storm");
    await tab.close();
  });

  // They once did: a press that began on one button ended beside it, and nothing happened.
  test("the status moves no button, however long it is", async (context) => {
    const tab = await Tab.open(context, context.bare);
    await tab.page.waitForSelector("#guest:not([hidden])");
    const tops = () =>
      tab.page.$$eval("button", (buttons) => buttons.map((button) => button.getBoundingClientRect().top));
    const before = await tops();
    await tab.page.$eval("#status", (status) => {
      status.textContent = "hart 0 100 MIPS, ".repeat(20);
    });
    assert.equal(await tops(), before);
    await tab.close();
  });

  test("a page without the guest asks the visitor for it", async (context) => {
    const tab = await Tab.open(context, context.bare);
    await tab.page.waitForSelector("#guest:not([hidden])");
    for (const [id, file] of [
      ["linux", GUEST_FILES.kernel],
      ["busybox", GUEST_FILES.busybox],
    ] as const) {
      await (await tab.page.$(`input#${id}`))!.uploadFile(file);
    }
    await tab.line("init starts");
    await tab.page.waitForSelector("#guest[hidden]");
    await tab.close();
  });

  test.run();
}

for (const kind of [CHROMIUM, FIREFOX]) {
  const path = findBrowser(kind);
  if (!hasGuest()) {
    console.log(`skipped: ${MISSING}`);
    const told = suite(`${kind.name}, no guest`);
    told("it is said how the guest comes here", () => assert.match(MISSING, /npm run fetch:linux/));
    told.run();
  } else if (path !== undefined) pages(kind, path);
  else {
    console.log(`skipped: no ${kind.name}`);
    const missing = suite(kind.name);
    missing("is not required", () => {
      assert.is(isRequired(kind), false, `REQUIRED_BROWSERS names it, PATH has none of ${kind.commands}`);
    });
    missing.run();
  }
}
