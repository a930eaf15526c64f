/** The browsers of this machine that the scenarios run in: where they are, how they are started. */
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import puppeteer, { type Browser, type LaunchOptions } from "puppeteer-core";

export interface BrowserKind {
  readonly name: string;
  /** Names of the program, the first that is found counts. */
  readonly commands: readonly string[];
  readonly options: LaunchOptions;
}

export const CHROMIUM: BrowserKind = {
  name: "Chromium",
  commands: ["chromium", "chromium-browser", "google-chrome"],
  options: {
    browser: "chrome",
    headless: true,
    // Over a pipe the browser ends with this process, however that ends.
    pipe: true,
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    args: [
      // root has no sandbox
      "--no-sandbox",
      "--disable-gpu",
      // no words to anybody but the test's own server
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  },
};

export const FIREFOX: BrowserKind = {
  name: "Firefox",
  commands: ["firefox-esr", "firefox"],
  options: {
    browser: "firefox",
    headless: true,
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    // no words to anybody but the test's own server
    extraPrefsFirefox: {
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
    },
  },
};

/** Path of the program, if the browser is there. */
export function findBrowser({ commands }: Pick<BrowserKind, "commands">): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const paths = commands.flatMap((command) => folders.map((folder) => join(folder, command)));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** True if this run must not do without the browser: it is named in REQUIRED_BROWSERS. */
export function isRequired({ name }: Pick<BrowserKind, "name">): boolean {
  const required = (process.env.REQUIRED_BROWSERS ?? "").toLowerCase().split(/[\s,]+/);
  return required.includes(name.toLowerCase());
}

/** A browser with a profile of its own. */
export interface Launched {
  readonly browser: Browser;
  close(): Promise<void>;
}

export async function launch({ options }: BrowserKind, path: string): Promise<Launched> {
  const profile = mkdtempSync(join(tmpdir(), "memslots-browser-"));
  const remove = () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  try {
    const browser = await puppeteer.launch({ ...options, executablePath: path, userDataDir: profile });
    return {
      browser,
      async close() {
        await browser.close();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
