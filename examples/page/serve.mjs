/** node serve.mjs [port]: the files beside this one, and memslots, under the headers that sharing memory needs. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
  "X-Content-Type-Options": "nosniff",
};
const TYPES = { html: "text/html", js: "text/javascript", svg: "image/svg+xml", wasm: "application/wasm" };
const PACKAGE = "/node_modules/memslots/";
const INSTALLED = new URL("../", import.meta.resolve("memslots"));
/** Names of letters, digits, dashes and inner dots: no other path is looked up, so none leads out of the folders. */
const PATH = /^(?:\/\w[\w-]*(?:\.[\w-]+)*)+$/;

const server = createServer(async ({ url }, response) => {
  const path = url === "/" ? "/index.html" : url.split("?")[0];
  try {
    if (!PATH.test(path)) throw new Error(`no file is called ${path}`);
    const isPackage = path.startsWith(PACKAGE);
    const file = isPackage
      ? new URL(path.slice(PACKAGE.length), INSTALLED)
      : new URL(`.${path}`, import.meta.url);
    const body = await readFile(file);
    response.writeHead(200, { ...HEADERS, "Content-Type": TYPES[path.split(".").pop()] ?? "text/plain" });
    response.end(body);
  } catch {
    response.writeHead(404, HEADERS).end();
  }
});
server.listen(Number(process.argv[2] ?? 8088), "localhost", () => {
  console.log(`http://localhost:${server.address().port}/`);
});
