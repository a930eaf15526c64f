/** Builds and serves the page of `npm run bench -- page`, under the headers that sharing memory needs. */
import { cpSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import sirv from "sirv";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGE = join(ROOT, "bench/page");
const OUT = join(ROOT, "build/bench/page");
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Write the page into a folder. */
export async function buildPage(folder = OUT): Promise<void> {
  await build({
    entryPoints: ["page.ts", "measure.ts"].map((name) => join(PAGE, name)),
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    alias: { memslots: join(ROOT, "dist/index.js") },
    logLevel: "error",
  });
  for (const name of ["index.html", "style.css"]) cpSync(join(PAGE, name), join(folder, name));
  cpSync(join(ROOT, "examples/visualizer/icon.svg"), join(folder, "icon.svg"));
}

/** Build and serve the page until the process ends. */
export async function servePage(port: number): Promise<Server> {
  await buildPage();
  const files = sirv(OUT, {
    dev: true,
    setHeaders(response) {
      for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    },
  });
  const server = createServer((request, response) => files(request, response));
  await new Promise<void>((resolve) => server.listen(port, "localhost", resolve));
  console.log(`http://localhost:${(server.address() as AddressInfo).port}/`);
  return server;
}
