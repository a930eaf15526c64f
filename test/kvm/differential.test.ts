/**
 * A short run of the live comparison; `npm run test:kvm` is the long one. Without KVM it says so and passes.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
import { KVM_CAP_GUEST_MEMFD_FLAGS, KVM_CAP_MULTI_ADDRESS_SPACE } from "memslots/uapi";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { errnoOf } from "../support/implementation.js";
import { available } from "./kvm.js";

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

test("capabilities of address spaces and guest_memfds are those of this machine's KVM", async () => {
  const facts = await available();
  if (!facts.ok) {
    console.log(`skipped: ${facts.reason}`);
    return;
  }
  const engine = await MemslotEngine.create({ addressSpaces: facts.addressSpaces });
  assert.is(engine.checkExtension(KVM_CAP_MULTI_ADDRESS_SPACE), facts.multiAddressSpace);
  if (facts.guestMemfdFlags === 0) {
    console.log("skipped: this KVM knows no flags of a guest_memfd");
    return;
  }
  assert.is(engine.checkExtension(KVM_CAP_GUEST_MEMFD_FLAGS), facts.guestMemfdFlags);
  let creations = 0;
  for (let flags = 0; flags < 8; flags++) {
    if (errnoOf(() => engine.createGuestMemfd(4096, flags)) === 0) creations |= 1 << flags;
  }
  assert.is(creations, facts.guestMemfdCreations);
});

test("an option that does not exist is refused", () => {
  assert.is.not(run("--sequencez", "1").status, 0);
});

test.run();
