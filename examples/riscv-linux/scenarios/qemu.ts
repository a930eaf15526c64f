/**
 * A yardstick: the same kernel, programs and work on QEMU, which translates guest code to the host's (TCG), where this
 * computer has it; and here.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Booted, bootLinux, RAM_BYTES } from "../booted.js";
import { GuestConsole } from "../console.js";
import { GUEST_FILES, type LinuxGuest } from "../guest.js";
import { PROMPT } from "../initrd.js";

const QEMU = "qemu-system-riscv64";
/** Work of some seconds here. */
const WORK = "for i in 1 2 3 4; do sha256sum /data/*; gzip < /data/0 | gunzip | md5sum; done";
/** Of /proc: clock ticks of a second, for programs always 100 on Linux. */
const TICKS_PER_SECOND = 100;
const [UTIME, STIME] = [11, 12];

export interface Yardstick {
  readonly name: string;
  /** Seconds on the wall, from the first instruction to init. */
  readonly initSeconds: number;
  /** Seconds of processor time of WORK. */
  readonly workSeconds: number;
  /** What WORK wrote. */
  readonly sums: string;
}

/** Undefined if this computer has no such QEMU; else its version. */
function versionOfQemu(): string | undefined {
  const { status, stdout } = spawnSync(QEMU, ["--version"], { encoding: "utf8" });
  return status === 0 ? /version ([\d.]+)/.exec(stdout)?.[1] : undefined;
}

/** Processor time of a process, all of its threads, in seconds. */
function processorTime(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field, the program's name in parentheses, may have spaces in it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS_PER_SECOND;
}

async function work(output: GuestConsole, seconds: () => number) {
  const before = seconds();
  const sums = await output.run(WORK);
  return { workSeconds: seconds() - before, sums };
}

async function qemu(guest: LinuxGuest, version: string): Promise<Yardstick> {
  const folder = mkdtempSync(join(tmpdir(), "riscv-linux-"));
  const disk = join(folder, "initrd");
  writeFileSync(disk, guest.initrd);
  const output = new GuestConsole();
  let child: ChildProcess | undefined;
  try {
    const memory = String(RAM_BYTES / 2 ** 20);
    const machine = ["-machine", "virt", "-accel", "tcg", "-smp", "1", "-m", memory, "-nographic"];
    const files = ["-kernel", GUEST_FILES.kernel, "-initrd", disk, "-append", guest.commandLine];
    const start = performance.now();
    child = spawn(QEMU, [...machine, ...files], { stdio: ["pipe", "pipe", "inherit"] });
    const { pid, stdin, stdout } = child;
    stdout!.on("data", output.print);
    output.attach({ type: (text) => stdin!.write(text), drain() {} });
    await output.expect(/init starts/);
    const initSeconds = (performance.now() - start) / 1000;
    await output.expect(new RegExp(PROMPT));
    await output.run("PS1=''");
    const done = await work(output, () => processorTime(pid!));
    output.type("poweroff -f\n");
    await once(child, "exit");
    return { name: `QEMU ${version}, TCG`, initSeconds, ...done };
  } finally {
    child?.kill();
    rmSync(folder, { recursive: true });
  }
}

async function here(booted: Booted): Promise<Yardstick> {
  const seconds = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  try {
    const done = await work(booted.console, seconds);
    return { name: "this interpreter", initSeconds: booted.initSeconds, ...done };
  } finally {
    await booted.machine.end();
  }
}

/** One hart on both. Undefined if QEMU is not there. @throws Error if they compute different sums */
export async function compareWithQemu(
  module: WebAssembly.Module,
  guest: LinuxGuest,
): Promise<Yardstick[] | undefined> {
  const version = process.platform === "linux" ? versionOfQemu() : undefined;
  if (version === undefined) return undefined;
  const both = [await here(await bootLinux(module, guest, 1)), await qemu(guest, version)];
  if (both[0]!.sums !== both[1]!.sums) throw new Error(`QEMU's sums are others:\n${both[1]!.sums}`);
  return both;
}
