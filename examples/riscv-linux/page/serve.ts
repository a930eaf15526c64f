/** The page and the guest in build/, served with the headers that let a page share memory with its workers. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import sirv from "sirv";
import { hartBytes } from "../build.js";
import { GUEST_FILES } from "../guest.js";

const PORT = 8089;
const HERE = fileURLToPath(new URL("./", import.meta.url));
const FOLDER = fileURLToPath(new URL("../../../build/riscv-linux/", import.meta.url));
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; object-src 'none'",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};

/** Make the page in `folder`, which ends with a slash; without the guest, the visitor gives it to the page. */
export async function makePage(folder: string, hasGuest: boolean): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [`${HERE}page.ts`, `${HERE}worker.ts`],
    bundle: true,
    format: "esm",
    outdir: folder,
    logLevel: "warning",
  });
  for (const name of ["index.html", "page.css"]) copyFileSync(`${HERE}${name}`, `${folder}${name}`);
  copyFileSync(`${HERE}../../visualizer/icon.svg`, `${folder}icon.svg`);
  copyFileSync(createRequire(import.meta.url).resolve("@xterm/xterm/css/xterm.css"), `${folder}xterm.css`);
  writeFileSync(`${folder}hart.wasm`, await hartBytes("engine"));
  const served = hasGuest ? (["linux", "busybox"] as const) : [];
  writeFileSync(`${folder}guest.json`, JSON.stringify(served));
  if (hasGuest) {
    copyFileSync(GUEST_FILES.kernel, `${folder}linux`);
    copyFileSync(GUEST_FILES.busybox, `${folder}busybox`);
  }
}

export interface ServedPage {
  readonly url: string;
  close(): void;
}

/** Serve the page on `port`, 0 for any. */
export async function servePage(port = PORT, hasGuest = true): Promise<ServedPage> {
  const folder = `${FOLDER}${hasGuest ? "page" : "empty"}/`;
  await makePage(folder, hasGuest);
  const serveFile = sirv(folder, {
    setHeaders(response) {
      for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    },
  });
  const server = createServer((request, response) => {
    serveFile(request, response, () => {
      // A browser asks for an icon by itself.
      response.writeHead(request.url === "/favicon.ico" ? 204 : 404, HEADERS).end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen(port, "localhost", resolve);
  });
  const address = server.address() as { readonly port: number };
  return {
    url: `http://localhost:${address.port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
