#!/usr/bin/env node
/**
 * The command line: finds the command, hands it the engine, turns what comes back into an exit code. 0 =
 * done; 1 = the input is wrong, standard error names file, line and reason; 2 = the command line is wrong. diff
 * has the codes of diff(1).
 */
import { createRequire } from "node:module";
import { MemslotEngine } from "../index.js";
import { runProgram } from "./program.js";
import { complain } from "./writeout.js";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

// A reader that has seen enough (`| head`) closes the pipe: that is an end, not a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  complain(`standard output cannot be written: ${error.message}`);
  process.exit(process.argv[2] === "diff" ? 2 : 1);
});

// There is nobody left to tell.
process.stderr.on("error", () => {});

await runProgram(process.argv.slice(2), {
  version,
  engineClass: MemslotEngine,
  // Beside this file once both are built.
  vcpuWorker: new URL("./vcpuworker.js", import.meta.url),
});
