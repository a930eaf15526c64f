/**
 * `npm run test:runtimes`: the behaviour suites, and two worker threads under a list, in Node, Bun and Deno. A runtime
 * that is not there is a failure; other versions of Node are there on Linux on x64. Closes with "N passed, N failed".
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { NODE_VERSIONS, RUNTIMES } from "./runtimes.js";

/** The longest takes a twentieth of this. */
const WATCHDOG_MS = 120_000;
const FILES = ["suites.ts", "threads.ts"];

let passed = 0;
let failed = 0;
const node = { name: `Node ${process.versions.node}`, program: process.execPath, args: ["--import", "tsx"] };
const nodes = NODE_VERSIONS.map((one) => ({ ...one, args: node.args }));
for (const { name, program, args } of [node, ...nodes, ...RUNTIMES]) {
  for (const file of FILES) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const { status, stdout, stderr, error } =
      program === undefined
        ? { status: -1, stdout: "", stderr: `no ${name} among the installed packages`, error: undefined }
        : spawnSync(program, [...args, path], { encoding: "utf8", timeout: WATCHDOG_MS });
    const [total, good] = ["Total", "Passed"].map((label) =>
      Number(new RegExp(`^\\s*${label}:\\s+(\\d+)`, "m").exec(stdout)?.[1] ?? 0),
    ) as [number, number];
    const bad = Math.max(total - good, status === 0 && total > 0 ? 0 : 1);
    passed += good;
    failed += bad;
    console.log(`${name} ${file}: ${good} passed, ${bad} failed`);
    if (bad > 0) console.log(stdout, stderr, error ?? "");
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
