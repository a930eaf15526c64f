/**
 * A short run of the live comparison; `npm run test:kvm` is the long one. Without KVM it says so and passes.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const PROGRAM = fileURLToPath(new URL("./differential.ts", import.meta.url));
const WATCHDOG_MS = 300_000;

function run(...args: string[]): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, ["--import", "tsx", PROGRAM, ...args], {
    encoding: "utf8",
    timeout: WATCHDOG_MS,
  });
}

test("the engine answers fresh random sequences as this machine's KVM does", () => {
  const { status, stdout } = run("--sequences", "100");
  console.log(stdout.trim());
  assert.is(status, 0);
  assert.match(stdout, /^skipped: |\d{4,} passed, 0 failed/m);
});

test("an option that does not exist is refused", () => {
  assert.is.not(run("--sequencez", "1").status, 0);
});

test.run();
