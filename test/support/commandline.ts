/** The command line in this process, what it prints as strings. */
import { MemslotEngine } from "memslots";
import { runProgram } from "../../src/cli/program.js";

export interface Printed {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCommand(args: readonly string[]): Promise<Printed> {
  const printed = { stdout: "", stderr: "" };
  const streams = ["stdout", "stderr"] as const;
  const writers = streams.map((name) => process[name].write);
  for (const name of streams) {
    process[name].write = (chunk: string | Uint8Array): boolean => {
      printed[name] += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("latin1");
      return true;
    };
  }
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    await runProgram(args, {
      version: "0.0.0",
      engineClass: MemslotEngine,
      vcpuWorker: new URL("../../dist/vcpuworker.js", import.meta.url),
    });
    return { status: Number(process.exitCode ?? 0), ...printed };
  } finally {
    streams.forEach((name, i) => {
      process[name].write = writers[i]!;
    });
    process.exitCode = before;
  }
}
