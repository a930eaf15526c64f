/** Throw-away projects that install the packed package, and commands run in them. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HERE = fileURLToPath(new URL("./", import.meta.url));
/** The longest takes a tenth of this. */
const WATCHDOG_MS = 300_000;

/** Run a program to its end. @returns what it printed; @throws Error with that if it fails */
export function run(folder: string, program: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: WATCHDOG_MS,
    });
    let output = "";
    const take = (text: Buffer) => {
      output += text;
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${[program, ...args].join(" ")}: exit ${signal ?? code}\n${output}`));
    });
  });
}

/** All projects of a run, below one folder. */
export class Projects {
  readonly #folder = mkdtempSync(join(tmpdir(), "memslots-projects-"));
  #tarball = "";

  /** Pack what is built. */
  async pack(): Promise<void> {
    const output = await run(
      ROOT,
      "npm",
      "pack",
      "--silent",
      "--ignore-scripts",
      "--pack-destination",
      this.#folder,
    );
    this.#tarball = join(this.#folder, output.trim().split("\n").at(-1)!);
  }

  /** The project in the folder `name` beside this file, with app/, the package and what its package.json names. */
  async make(name: string): Promise<string> {
    const folder = join(this.#folder, name);
    mkdirSync(folder);
    for (const part of ["app", name]) cpSync(join(HERE, part), folder, { recursive: true });
    await run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", this.#tarball);
    return folder;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
