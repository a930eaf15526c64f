#!/usr/bin/env node
/**
 * The command line: finds the command, hands it the engine, turns what comes back into an exit code. 0 =
 * done; 1 = the input is wrong, standard error names file, line and reason; 2 = the command line is wrong. diff
 * has the codes of diff(1).
 */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { diffCommand } from "./cli/diff.js";
import { exportCommand } from "./cli/export.js";
import { replayCommand } from "./cli/replay.js";
import { showCommand } from "./cli/show.js";
import { MemslotEngine } from "./index.js";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

// A reader that has seen enough (`| head`) closes the pipe: that is an end, not a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

const HELP = `
Exit code: 0 done, 1 the input is wrong, 2 the command line is wrong; diff: 0
equal, 1 different, 2 trouble.

Examples:
  $ memslots replay boot.jsonl.gz
  $ memslots show boot.jsonl.gz
  $ memslots diff before.json after.json
  $ memslots export --json boot.jsonl.gz
  $ memslots help replay`;

const program = new Command("memslots")
  .description("Guest memory maps for emulators and VMMs: KVM-compatible memslots.")
  .version(version)
  .showHelpAfterError("(see memslots --help)")
  .addHelpText("after", HELP)
  .exitOverride();

// Beside this file once both are built.
const vcpuWorker = new URL("./vcpuworker.js", import.meta.url);
const commands = [replayCommand(MemslotEngine, vcpuWorker), showCommand(), diffCommand(), exportCommand()];
for (const command of commands) {
  program.addCommand(command.copyInheritedSettings(program));
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
