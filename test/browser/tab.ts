/**
 * A tab on the test page. Whatever the page, its workers, or the browser complain about is an error of the scenario
 * that ran.
 */
import type { Browser, Page } from "puppeteer-core";
import type { Answer } from "./client/page.js";
import type { Facts } from "./client/scenarios.js";

/** A scenario that takes longer is stuck: the longest takes a tenth of this. */
export const WATCHDOG_MS = 120_000;

export class Tab {
  readonly #page: Page;
  readonly #complaints: string[] = [];

  private constructor(page: Page) {
    this.#page = page;
    const complain = (text: string) => this.#complaints.push(text);
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warn") complain(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => complain(`uncaught: ${error instanceof Error ? error.stack : error}`));
    page.on("error", (error) => complain(`crashed: ${error.message}`));
    page.on("requestfailed", (request) =>
      complain(`failed: ${request.url()} ${request.failure()?.errorText}`),
    );
    page.on("response", (response) => {
      if (!response.ok()) complain(`HTTP ${response.status()}: ${response.url()}`);
    });
  }

  static async open(browser: Browser, url: string): Promise<Tab> {
    const page = await browser.newPage();
    const tab = new Tab(page);
    await page.goto(url, { timeout: WATCHDOG_MS });
    return tab;
  }

  /** Run a scenario of client/scenarios.ts. @throws Error with what it threw, or with the complaints */
  async run(name: string): Promise<Facts> {
    const answer = await this.#watched(
      this.#page.evaluate(
        (scenario) =>
          (globalThis as unknown as { runScenario(name: string): Promise<Answer> }).runScenario(scenario),
        name,
      ),
    );
    const problems = [...("error" in answer ? [answer.error] : []), ...this.#complaints];
    if ("error" in answer || problems.length > 0) throw new Error(problems.join("\n"));
    return answer.facts;
  }

  async #watched<T>(work: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error([`no answer in ${WATCHDOG_MS / 1000} s`, ...this.#complaints].join("\n")));
      }, WATCHDOG_MS);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    await this.#page.close();
  }
}
