/**
 * Serves build/visualizer with the headers under which a page may share memory with its workers.
 * node examples/visualizer/serve.mjs [port]
 */
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import sirv from "sirv";

const PORT = 8087;
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

const serveFile = sirv(fileURLToPath(new URL("../../build/visualizer/", import.meta.url)), {
  dev: true,
  setHeaders(response) {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  },
});
const server = createServer((request, response) => {
  serveFile(request, response, () => {
    response.statusCode = 404;
    response.end();
  });
});

const asked = process.argv[2];
server.on("error", (error) => {
  // The usual port may be taken; one that was asked for must be that one.
  if (error.code !== "EADDRINUSE" || asked !== undefined) throw error;
  server.listen(0, "localhost");
});
server.on("listening", () => console.log(`http://localhost:${server.address().port}/`));
server.listen(Number(asked ?? PORT), "localhost");
