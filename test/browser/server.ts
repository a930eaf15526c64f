/** The test page and what it imports over HTTP, every answer under the same headers. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "./served.js";

export type Headers = Readonly<Record<string, string>>;

/** A page under these may share memory with its workers. */
export const ISOLATED: Headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** The strictest policy that the package promises to work under. */
export const STRICT: Headers = {
  "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
};

/** One word less: nothing may compile WebAssembly. */
export const NO_WASM: Headers = { "Content-Security-Policy": "default-src 'self'; script-src 'self'" };

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>memslots</title>
<script type="module" src="/test/browser/client/page.ts"></script>
</html>
`;

export interface PageServer {
  /** Address of the test page. */
  readonly url: string;
  close(): Promise<void>;
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
}

/** Serve on a free port of this machine. */
export async function startServer(headers: Headers): Promise<PageServer> {
  const server = createServer((request, response) => {
    const pathname = (request.url ?? "/").split("?")[0]!;
    for (const [name, value] of Object.entries({ ...headers, "Cache-Control": "no-store" })) {
      response.setHeader(name, value);
    }
    const file = pathname === "/" ? { type: "text/html; charset=utf-8", body: PAGE } : serve(pathname);
    if (file !== undefined) response.setHeader("Content-Type", file.type);
    // A browser asks for an icon by itself; 404 would be an error on the page's console.
    response.statusCode = file !== undefined ? 200 : pathname === "/favicon.ico" ? 204 : 404;
    response.end(file?.body);
  });
  await listen(server);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}/`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
