/**
 * Serves build/visualizer with the headers that let a page share memory with its workers.
 * node examples/visualizer/serve.mjs [port [folder]]
 */
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import sirv from "sirv";

const PORT = 8087;
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};

const [, , asked, folder = fileURLToPath(new URL("../../build/visualizer/", import.meta.url))] = process.argv;
const serveFile = sirv(folder, {
  // The files are listed once: a path that is not among them leads nowhere.
  dev: false,
  setHeaders(response) {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  },
});
const server = createServer((request, response) => {
  // A range that ends before it starts is an error of Node's, and nobody here asks for one.
  delete request.headers.range;
  serveFile(request, response, () => response.writeHead(404, HEADERS).end());
});

server.on("error", (error) => {
  // The default port may be taken, then any free one will do; a port from the command line is required.
  if (error.code !== "EADDRINUSE" || asked !== undefined) throw error;
  server.listen(0, "localhost");
});
server.on("listening", () => console.log(`http://localhost:${server.address().port}/`));
server.listen(Number(asked ?? PORT), "localhost");
