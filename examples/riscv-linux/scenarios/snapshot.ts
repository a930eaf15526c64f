/**
 * Saved while it works, and restored in another process, where the work goes on to its end.
 */
import { execFile } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serialize } from "node:v8";
import type { Booted } from "../booted.js";
import type { LinuxGuest } from "../guest.js";
import { sumsOf } from "./shell.js";

const RESTORED = fileURLToPath(new URL("./restored.ts", import.meta.url));
/** The guest has done so many of its files when it is saved. */
const BEFORE = 2;

export interface SnapshotResult {
  readonly mebibytes: number;
  /** Of the machine's standstill here. */
  readonly savedMs: number;
  readonly wrong: readonly string[];
}

/** The machine of `booted` ends here. */
export async function runSnapshot(booted: Booted, guest: LinuxGuest): Promise<SnapshotResult> {
  const { machine, console: output } = booted;
  const file = `${tmpdir()}/riscv-linux-${process.pid}.snapshot`;
  try {
    const from = output.text.length;
    output.type("sha256sum /data/*; echo all done\n");
    await output.expect(new RegExp(`(.*\\n){${BEFORE}}`), from);
    const start = performance.now();
    machine.hold();
    const snapshot = machine.save();
    const savedMs = performance.now() - start;
    const before = output.text.slice(from);
    await machine.end();
    writeFileSync(file, serialize(snapshot));
    const child = await promisify(execFile)(process.execPath, ["--import", "tsx", RESTORED, file]);
    const wanted = `${sumsOf(guest)}all done\n`;
    const found = before + child.stdout;
    const wrong = found === wanted ? [] : [`${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`];
    return { mebibytes: snapshot.memory.length / 2 ** 20, savedMs, wrong };
  } finally {
    rmSync(file, { force: true });
  }
}
