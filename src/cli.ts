#!/usr/bin/env node
/**
 * The command line: finds the command, hands it the engine, turns what comes back into an exit code. 0 =
 * done; 1 = the input is wrong, standard error names file, line and reason; 2 = the command line is wrong.
 */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { replayCommand } from "./cli/replay.js";
import { MemslotEngine } from "./index.js";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

// A reader that has seen enough (`| head`) closes the pipe: that is an end, not a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

const program = new Command("memslots")
  .description("Guest memory maps for emulators and VMMs: KVM-compatible memslots.")
  .version(version)
  .showHelpAfterError("(see memslots --help)")
  .addHelpText("after", "\nExamples:\n  $ memslots replay boot.jsonl.gz\n  $ memslots help replay")
  .exitOverride();

// Beside this file once both are built.
const vcpuWorker = new URL("./vcpuworker.js", import.meta.url);
program.addCommand(replayCommand(MemslotEngine, vcpuWorker).copyInheritedSettings(program));

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
