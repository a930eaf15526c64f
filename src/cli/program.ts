/** The command line as a value: its commands, and what becomes of an error. */
import { Command, CommanderError } from "commander";
import type { EngineClass } from "../replay/replay.js";
import { addNotes } from "./arguments.js";
import { HELP_COLOURS } from "./colour.js";
import { completionCommand } from "./completion.js";
import { diffCommand } from "./diff.js";
import { exportCommand } from "./export.js";
import { replayCommand } from "./replay.js";
import { showCommand } from "./show.js";
import { printError, printText } from "./writeout.js";

/** What the commands need of the program that they are in. */
export interface ProgramParts {
  readonly version: string;
  readonly engineClass: EngineClass;
  /** The file that vCPUs are started from. */
  readonly vcpuWorker: URL;
}

/** The program with its commands. To parse wrong arguments throws a CommanderError. */
export function createProgram(parts: ProgramParts): Command {
  const program = new Command("memslots")
    .description("Guest memory maps for emulators and VMMs: KVM-compatible memslots.")
    .version(parts.version)
    .configureOutput({
      writeOut: (text) => printText(text, HELP_COLOURS),
      writeErr: (text) => printError(text, HELP_COLOURS),
    })
    .showHelpAfterError("(see memslots --help)")
    .exitOverride();
  addNotes(program, HELP);
  const commands = [
    replayCommand(parts.engineClass, parts.vcpuWorker),
    showCommand(),
    diffCommand(),
    exportCommand(),
    completionCommand(),
  ];
  for (const command of commands) program.addCommand(command.copyInheritedSettings(program));
  return program;
}

/** Run the command line; `args` begin with the command. Sets the exit code of the process. */
export async function runProgram(args: readonly string[], parts: ProgramParts): Promise<void> {
  try {
    await createProgram(parts).parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  }
}

const HELP = `
Exit code: 0 done, 1 the input is wrong, 2 the command line is wrong; diff: 0
equal, 1 different, 2 trouble.

Environment: on a terminal output is coloured, unless NO_COLOR is set and not
empty. FORCE_COLOR=1 colours what goes elsewhere, too, FORCE_COLOR=0 nothing.

Examples:
  $ memslots replay boot.jsonl.gz
  $ memslots show boot.jsonl.gz
  $ memslots diff before.json after.json
  $ memslots export --json boot.jsonl.gz
  $ memslots help replay`;
