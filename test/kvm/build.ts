/** driver.c, compiled into a temporary directory that lives as long as this process. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Unusable } from "./unusable.js";

const SOURCE = fileURLToPath(new URL("driver.c", import.meta.url));
const COMPILERS = [process.env.CC, "cc", "gcc", "clang"].filter((name) => name !== undefined && name !== "");
// A position-independent program leaves the low addresses free, which slots map to reach no memory.
const FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-fPIE", "-pie"];

/** @returns path of the program. @throws Unusable where there is no compiler or no kernel header. */
export async function buildDriver(): Promise<string> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Unusable(`KVM is driven on x86-64 Linux, this is ${process.platform} ${process.arch}`);
  }
  const directory = mkdtempSync(join(tmpdir(), "memslots-kvm-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, "driver");
  for (const compiler of COMPILERS) {
    const result = await compile(compiler as string, program);
    if (result !== "no such compiler") return program;
  }
  throw new Unusable(`no C compiler (tried ${COMPILERS.join(", ")})`);
}

function compile(compiler: string, program: string): Promise<"compiled" | "no such compiler"> {
  return new Promise((resolve, reject) => {
    execFile(compiler, [...FLAGS, SOURCE, "-o", program], (error, _stdout, stderr) => {
      if (error === null) return resolve("compiled");
      if (error.code === "ENOENT") return resolve("no such compiler");
      // A system header that is not installed is a lack of the machine; any other error is one of driver.c.
      const header = /fatal error: .*\n.*#include\s*(<.+>)/.exec(stderr)?.[1];
      reject(
        header ? new Unusable(`${compiler} finds no ${header}`) : new Error(`${compiler} failed:\n${stderr}`),
      );
    });
  });
}
