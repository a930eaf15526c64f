/** A folder with serve.mjs in it, opened in Chromium: what its page says, and what anybody complains about. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { CHROMIUM, launch } from "../browser/browsers.js";

/** A page that takes longer is stuck; the longest takes a twentieth of this. */
const WATCHDOG_MS = 120_000;

/**
 * Serve `folder` as `node serve.mjs` does, and read the page's `<output>` until it matches `wanted`.
 * @throws Error with the complaints of page, worker, or server
 */
export async function showPage(path: string, folder: string, wanted: RegExp): Promise<string> {
  const server = spawn(process.execPath, ["serve.mjs", "0"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const launched = await launch(CHROMIUM, path);
  const complaints: string[] = [];
  try {
    const [line] = (await once(server.stdout, "data")) as [Buffer];
    const page = await launched.browser.newPage();
    page.setDefaultTimeout(WATCHDOG_MS);
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(line.toString().trim());
    const shown = await page.waitForFunction(
      (source) => {
        const text = document.querySelector("output")?.textContent ?? "";
        return new RegExp(source).test(text) ? text : false;
      },
      { polling: "raf" },
      wanted.source,
    );
    const unexpected = complaints.filter((text) => !/favicon|404/.test(text));
    if (unexpected.length > 0) throw new Error(unexpected.join("\n"));
    return String(await shown.jsonValue());
  } catch (error) {
    throw new Error([error instanceof Error ? error.message : String(error), ...complaints].join("\n"));
  } finally {
    await launched.close();
    server.kill();
  }
}

/** Text of the page of examples/page after some frames with its vCPU running: 0 holes at the end. */
export const PAGE_RUNS = /^(?:[2-9]\d|\d{3,}) lists, [1-9]\d{2,} rounds of the vCPU, 0 holes$/;
