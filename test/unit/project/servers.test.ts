/**
 * The servers of the examples under hostile requests: they serve what is in their folder and nothing else, and no
 * request ends them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const SECRET = "a secret beside the folder";

/** A folder "site" with an index, and beside it what nobody may see. */
function makeSite(): { readonly folder: string; readonly site: string } {
  const folder = mkdtempSync(join(tmpdir(), "memslots-site-"));
  const site = join(folder, "site");
  for (const name of ["site", "site2", "site/inner"]) mkdirSync(join(folder, name));
  writeFileSync(join(site, "index.html"), "the index");
  for (const name of ["secret.txt", "site2/secret.txt"]) writeFileSync(join(folder, name), SECRET);
  return { folder, site };
}

/** Paths as a client may write them; `up` leads from the folder of the server to that of the secret. */
const HOSTILE = [
  "//[",
  "//",
  "//etc/passwd",
  "/../secret.txt",
  "/../site2/secret.txt",
  "/%2e%2e/secret.txt",
  "/%2e%2e/site2/secret.txt",
  "/..%2fsecret.txt",
  "/..%5csecret.txt",
  "/..\\secret.txt",
  "/inner/../../secret.txt",
  "/inner",
  "/%",
  "/%00",
  "/%ff%fe",
  "/index.html%00.txt",
  "/node_modules/memslots/",
  "/node_modules/memslots//etc/passwd",
  "/node_modules/memslots/file:///etc/passwd",
  "/node_modules/memslots/../../../../../../../etc/passwd",
  "/node_modules/memslots/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
  "/node_modules/memslots/data:text/plain,x",
  "http://localhost/../secret.txt",
  "file:///etc/passwd",
  "*",
  "/?",
  "?",
  `/${"a/".repeat(4000)}`,
  `/${"a".repeat(8000)}`,
];

const REQUESTS = [
  ...HOSTILE.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
  "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
  "GET\r\n\r\n",
  "\r\n\r\n\r\n",
  "\0\0\0\0",
  "CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
  "POST /index.html HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
  ...["5-2", "a-b", "-", "99999999999999999999-", "-1"].map(
    (range) =>
      `GET /index.html HTTP/1.1\r\nHost: x\r\nRange: bytes=${range}\r\nIf-None-Match: x\r\nConnection: close\r\n\r\n`,
  ),
];

function ask(port: number, request: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    // A server answers nobody who has hung up; one that waits for more is not waited for.
    const isWhole = request.includes("Connection: close");
    const socket = connect(port, "localhost", () => (isWhole ? socket.write(request) : socket.end(request)));
    socket.on("data", (text) => {
      answer += text;
    });
    socket.on("error", () => resolve(answer));
    socket.on("close", () => resolve(answer));
  });
}

async function withServer(args: string[], use: (port: number, server: ChildProcess) => Promise<void>) {
  const server = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  server.stderr.on("data", (text) => {
    errors += text;
  });
  try {
    const [line] = (await once(server.stdout, "data")) as [Buffer];
    await use(Number(/:(\d+)\//.exec(line.toString())![1]), server);
    assert.is(errors, "");
  } finally {
    server.kill();
  }
}

const SERVERS = {
  "examples/page/serve.mjs": (site: string) => {
    // It serves the files beside itself.
    symlinkSync(join(ROOT, "examples/page/serve.mjs"), join(site, "serve.mjs"));
    return ["--preserve-symlinks-main", "--preserve-symlinks", join(site, "serve.mjs"), "0"];
  },
  "examples/visualizer/serve.mjs": (site: string) => [join(ROOT, "examples/visualizer/serve.mjs"), "0", site],
};

for (const [name, argsOf] of Object.entries(SERVERS)) {
  test(`${name} serves its folder only, and survives any request`, async () => {
    const { folder, site } = makeSite();
    mkdirSync(join(site, "node_modules"));
    symlinkSync(ROOT, join(site, "node_modules/memslots"));
    try {
      await withServer(argsOf(site), async (port, server) => {
        for (const request of REQUESTS) {
          const answer = await ask(port, request);
          assert.not.match(answer, SECRET, request);
          assert.not.match(answer, /root:.*:0:0/, request);
          assert.is(server.exitCode, null, request);
        }
        const index = await ask(port, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert.match(index, /^HTTP\/1\.1 200 /);
        assert.match(
          index,
          /\r\nContent-Security-Policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'/i,
        );
        assert.match(index, /\r\nCross-Origin-Embedder-Policy: require-corp\r\n/i);
        assert.match(index, /the index/);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test.run();
