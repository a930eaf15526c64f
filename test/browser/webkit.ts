/**
 * WebKit: MiniBrowser of WebKitGTK on a display of its own, driven over WebDriver. Debian has all three: the packages
 * webkit2gtk-driver and xvfb.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { findBrowser } from "./browsers.js";
import type { Answer } from "./client/page.js";
import type { Facts } from "./client/scenarios.js";

/** For findBrowser and REQUIRED_BROWSERS. */
export const WEBKIT = { name: "WebKit", commands: ["WebKitWebDriver"] };
const DISPLAY = { commands: ["Xvfb"] };
const LIBRARIES = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
/** A scenario that takes longer is stuck. */
const WATCHDOG_MS = 120_000;

export interface WebKitPrograms {
  readonly driver: string;
  readonly display: string;
  readonly browser: string;
}

/** The programs, if all of them are there. */
export function findWebKit(): WebKitPrograms | undefined {
  const driver = findBrowser(WEBKIT);
  const display = findBrowser(DISPLAY);
  const browser = LIBRARIES.filter(existsSync)
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.startsWith("webkit2gtk-"))
        .sort()
        .reverse()
        .map((name) => join(folder, name, "MiniBrowser")),
    )
    .find(existsSync);
  if (driver === undefined || display === undefined || browser === undefined) return undefined;
  return { driver, display, browser };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** A running browser; it has one tab. */
export class WebKit {
  readonly #processes: readonly ChildProcess[];
  readonly #session: string;

  private constructor(processes: readonly ChildProcess[], session: string) {
    this.#processes = processes;
    this.#session = session;
  }

  /** @param sharing whether pages get SharedArrayBuffer, which WebKitGTK keeps from them by default */
  static async launch({ driver, display, browser }: WebKitPrograms, sharing = true): Promise<WebKit> {
    const screen = spawn(display, ["-displayfd", "3", "-nolisten", "tcp"], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    const number = await new Promise<string>((resolve, reject) => {
      screen.once("error", reject);
      screen.once("exit", (code) => reject(new Error(`${display}: exit ${code}`)));
      screen.stdio[3]!.once("data", (text: Buffer) => resolve(text.toString().trim()));
    });
    const port = await freePort();
    const server = spawn(driver, [`--port=${port}`], {
      stdio: "ignore",
      env: {
        ...process.env,
        DISPLAY: `:${number}`,
        ...(sharing ? { JSC_useSharedArrayBuffer: "1" } : {}),
      },
    });
    const processes = [server, screen];
    try {
      const options = { binary: browser, args: ["--automation"] };
      const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": options } };
      const url = `http://127.0.0.1:${port}/session`;
      const { sessionId } = await patiently(() => call<{ sessionId: string }>("POST", url, { capabilities }));
      const session = `${url}/${sessionId}`;
      await call("POST", `${session}/timeouts`, { script: WATCHDOG_MS, pageLoad: WATCHDOG_MS });
      return new WebKit(processes, session);
    } catch (error) {
      for (const each of processes) each.kill();
      throw error;
    }
  }

  /** Open a page in the tab, and forget the one before. */
  async open(url: string): Promise<WebKitTab> {
    await call("POST", `${this.#session}/url`, { url });
    return new WebKitTab(this.#session);
  }

  async close(): Promise<void> {
    await call("DELETE", this.#session).catch(() => {});
    for (const each of this.#processes) each.kill();
  }
}

export class WebKitTab {
  readonly #session: string;

  constructor(session: string) {
    this.#session = session;
  }

  /** The value of a promise in the page. @throws Error if it is rejected */
  async evaluate<T>(expression: string): Promise<T> {
    const script = `const done = arguments[0];
      Promise.resolve(${expression}).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const result = await call<{ value: T } | { error: string }>("POST", `${this.#session}/execute/async`, {
      script,
      args: [],
    });
    if ("error" in result) throw new Error(result.error);
    return result.value;
  }

  /** Run a scenario of client/scenarios.ts. @throws Error with what it threw */
  async run(name: string): Promise<Facts> {
    // The page's module may not have been evaluated yet.
    const ready =
      "new Promise((r) => { const f = () => globalThis.runScenario ? r() : setTimeout(f, 10); f(); })";
    const answer = await this.evaluate<Answer>(`${ready}.then(() => runScenario(${JSON.stringify(name)}))`);
    if ("error" in answer) throw new Error(answer.error);
    return answer.facts;
  }

  async close(): Promise<void> {
    await call("POST", `${this.#session}/url`, { url: "about:blank" });
  }
}

/** A command of WebDriver. @throws Error with what the driver says */
async function call<T>(method: "POST" | "DELETE", url: string, body?: unknown): Promise<T> {
  const response = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { value } = (await response.json()) as { value: T & { error?: string; message?: string } };
  if (!response.ok) throw new Error(`${value?.error}: ${value?.message}`);
  return value;
}

/** The driver takes a moment to listen. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 100; ; left--) {
    try {
      return await work();
    } catch (error) {
      const refused = error instanceof TypeError;
      if (!refused || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
