/** Logs of QEMU and strace in replay, diff and export; pages of another size. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runCommand } from "../../support/commandline.js";
import { tempFile } from "../../support/tempfile.js";

const FORMATS = fileURLToPath(new URL("../../traces/formats/", import.meta.url));
const STRACE = `${FORMATS}18-strace.log`;
const BOOTS = `${FORMATS}13-two-boots.kvm.log`;
const FLASH = `${FORMATS}05-readonly-flash.mtree.txt`;

test("replay takes each machine of a log: a move of strace vanishes one by one, and not as a list", async () => {
  const { status, stdout } = await runCommand(["replay", "--json", "--at", "1", STRACE]);
  assert.is(status, 0);
  const { updates, commits, oneByOne, list } = JSON.parse(stdout);
  assert.equal([updates, commits, list.gaps], [3, 2, 0]);
  assert.equal(oneByOne, { publications: 3, gaps: 1, same: 0, remap: 1, gapPages: 0x7ef0_0000 / 4096 });
  const second = JSON.parse((await runCommand(["replay", "--json", "--at", "2", BOOTS])).stdout);
  assert.equal([second.updates, second.commits], [1, 1]);
});

test("a map that is not UTF-8 is refused with the line that is not", async () => {
  const [first, ...rest] = readFileSync(FLASH, "utf8").split("\n") as [string, ...string[]];
  const cases: [string, number][] = [
    [`${first}caf\u00e9`, 1],
    [`${first}\n${rest[0]}\u00e9\n`, 2],
    [`${first}\n${rest[0]}\n\u00e9`, 3],
  ];
  for (const [text, line] of cases) {
    const file = tempFile("txt", Buffer.from(text, "latin1"));
    const { status, stderr } = await runCommand(["show", file]);
    assert.equal([status, stderr], [1, `memslots: ${file}:${line}: not UTF-8 text\n`]);
  }
});

test("replay and diff of several machines need a choice; show --list tells what there is", async () => {
  for (const args of [
    ["replay", STRACE],
    ["diff", BOOTS, BOOTS],
    ["replay", "--at", "3", STRACE],
  ]) {
    const { status, stdout, stderr } = await runCommand(args);
    assert.equal([status, stdout], [args[0] === "diff" ? 2 : 1, ""]);
    assert.match(stderr, /another machine begins|there is no machine 3, the file has 2/);
  }
  const { stdout } = await runCommand(["show", "--list", BOOTS]);
  assert.match(stdout, /\n +1 +line 1 +2 updates\n +2 +line 3 +1 update\n/);
});

test("diff of two boots of a log, and of a log with the slots that export makes of it", async () => {
  const { status, stdout } = await runCommand(["diff", "--at-a", "1", "--at-b", "2", BOOTS, BOOTS]);
  assert.is(status, 1);
  assert.match(stdout, /> moved +\[0x0, 0x40000000\) +1 GiB +0x7f0000000000 -> 0x7e0000000000\n/);
  for (const name of ["06-iso-timestamp.kvm.log", "07-guest-memfd.kvm.log", "22b-ftrace.kvm.log"]) {
    const slots = await runCommand(["export", "--json", FORMATS + name]);
    const again = await runCommand(["diff", FORMATS + name, tempFile("json", slots.stdout)]);
    assert.equal([again.status, again.stdout], [0, ""], name);
  }
});

test("export --page-size: slots are whole pages of the host, or there is none", async () => {
  const text = readFileSync(FLASH, "utf8");
  const starts = async (size: string, file = FLASH) => {
    const { status, stdout, stderr } = await runCommand(["export", "--json", "--page-size", size, file]);
    assert.is(status, 0, stderr);
    return (JSON.parse(stdout) as { guestPhysAddr: number; memorySize: number }[]).map(
      ({ guestPhysAddr, memorySize }) => `${guestPhysAddr.toString(16)}+${memorySize.toString(16)}`,
    );
  };
  assert.equal(await starts("4096"), ["e0000+20000", "ffc00000+400000"]);
  assert.equal(await starts("65536"), ["e0000+20000", "ffc00000+400000"]);
  assert.equal(await starts("1048576"), ["ffc00000+400000"]);
  const odd = tempFile("txt", text.replace("00000000000fffff", "00000000000f8fff"));
  assert.equal(await starts("65536", odd), ["e0000+10000", "ffc00000+400000"]);
  for (const size of ["0", "4095", "12288", "2147483648", "4k", "-4096"]) {
    const { status, stderr } = await runCommand(["export", "--page-size", size, FLASH]);
    assert.is(status, 2, size);
    assert.match(stderr, /must be a power of two from 4096 to 2\^30/);
  }
});

test.run();
