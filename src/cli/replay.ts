/**
 * `memslots replay`: recorded boots, update by update and as lists.
 */
import { Command, InvalidArgumentError } from "commander";
import { type EngineClass, type Replay, replayTrace, startVcpus } from "../replay/replay.js";
import { nothingReplayed, replayJson, replayText } from "../replay/report.js";
import { InputError } from "../trace/jsonl.js";
import { addNotes, parseCommit } from "./arguments.js";
import type { Colours } from "./colour.js";
import { readTraceOrLog } from "./input.js";
import { progressBar } from "./progressbar.js";
import { complain, printJson, printText } from "./writeout.js";

const VCPUS_MAX = 64;

interface Options {
  readonly json?: boolean;
  readonly vcpus?: number;
  readonly at?: number;
}

/** `vcpuWorker`: the file to start vCPUs from. */
export function replayCommand(engineClass: EngineClass, vcpuWorker: URL): Command {
  const command = new Command("replay")
    .description("Replay recorded boots: every update by itself, and every commit as one atomic list.")
    .argument(
      "<file...>",
      "traces, logs of QEMU's -trace kvm_set_user_memory or of strace; - is standard input",
    )
    .option("--at <n>", "of a log with several machines: the n-th", parseCommit)
    .option("--json", "print one JSON object per file and line")
    .option("--vcpus <n>", "let n worker threads look up what vanishes, all the time", parseVcpus)
    .action(async (files: string[], { json = false, vcpus, at }: Options) => {
      if (files.indexOf("-") !== files.lastIndexOf("-")) {
        command.error("error: standard input can be read once only");
      }
      const crew = vcpus === undefined ? undefined : await startVcpus(vcpuWorker, vcpus);
      const bar = progressBar(process.stderr);
      try {
        for (const file of files) {
          try {
            const replay = await replayTrace(await readTraceOrLog(file, at), engineClass, crew, bar);
            bar.end();
            print(replay, json);
          } catch (error) {
            bar.end();
            // One bad file does not hide the results of the others.
            if (!(error instanceof InputError)) throw error;
            complain(error.message);
            process.exitCode = 1;
          }
        }
      } finally {
        await crew?.end();
      }
    });
  return addNotes(command, HELP);
}

function parseVcpus(text: string): number {
  const vcpus = /^\d+$/.test(text) ? Number(text) : 0;
  if (vcpus < 1 || vcpus > VCPUS_MAX) throw new InvalidArgumentError(`It must be from 1 to ${VCPUS_MAX}.`);
  return vcpus;
}

/** One by one has gaps wherever it has any work, lists never should. */
const COLOURS: Colours = [
  [/^ {2}one by one +[\d,]+ +[1-9].*$/gm, "yellow"],
  [/^ {2}as lists +[\d,]+ +[1-9].*$/gm, "red"],
  [/^ {2}(?:one by one|as lists) +[\d,]+ +0 .*$/gm, "green"],
  [/^ {2,}(?:publications|vanished) .*$/gm, "bold"],
];

function print(replay: Replay, json: boolean): void {
  if (!json) {
    printText(`${replayText(replay)}\n`, COLOURS);
    return;
  }
  printJson(replayJson(replay));
  const nothing = nothingReplayed(replay.trace);
  if (nothing !== undefined) complain(`${replay.trace.file}: ${nothing}`);
}

const HELP = `
A gap is a range of guest memory that is mapped before and after a commit and
unmapped in between. A "same" gap comes back with the same translation and
flags: nothing was to change for it. A "remap" gap comes back changed.

With --vcpus the boot is repeated while worker threads look up pages, only such
as are mapped both before and after the commit that is being made: a miss is a
lookup that found nothing there.

A log has no commits: deletes begin one, as QEMU's transactions have them first.

Exit code: 0 done, 1 a file is wrong (standard error names file and line, the
other files are replayed), 2 the command line is wrong.

Examples:
  $ memslots replay boot.jsonl.gz
  $ memslots replay --vcpus 2 boot.jsonl.gz
  $ memslots replay --json *.jsonl.gz | jq .oneByOne.gapPages
  $ zcat boot.jsonl.gz | memslots replay -`;
