/** `memslots show`: the map that a trace or a dump holds, drawn for a terminal or as SVG. */
import { Command, Option } from "commander";
import { dumpJson } from "../map/dump.js";
import { mapSvg } from "../map/svg.js";
import { mapText } from "../map/text.js";
import { InputError } from "../trace/jsonl.js";
import { addNotes, FILES, parseCommit } from "./arguments.js";
import type { Colours } from "./colour.js";
import { readList, readMap } from "./input.js";
import { complain, printJson, printList, printNotes, printText, writeOut } from "./writeout.js";

interface Options {
  readonly at?: number;
  readonly svg?: string;
  readonly json?: boolean;
  readonly list?: boolean;
}

export function showCommand(): Command {
  const command = new Command("show")
    .description("Draw a memory map: guest addresses against the host memory behind them.")
    .argument("<file>", "a trace or a dump; - is standard input")
    .option(
      "--at <n>",
      "of a trace: the map after commit n; of several dumps or machines: the n-th",
      parseCommit,
    )
    .addOption(new Option("--list", "list what --at can name, instead").conflicts(["at", "svg"]))
    .option("--svg <out>", "write an SVG file instead, for light and dark; - is standard output")
    .option("--json", "print the map as JSON instead, the addresses in hex")
    .action(show);
  return addNotes(command, HELP);
}

/** The walls of boxes recede; what a slot is marked with stands out. */
const COLOURS: Colours = [
  [/[┌┐└┘├┤│╎─·]+/g, "dim"],
  [/█+/g, "cyan"],
  [/\b(?:READONLY|LOG_DIRTY|GUEST_MEMFD)\b/g, "yellow"],
];

async function show(
  file: string,
  { at, svg, json = false, list = false }: Options,
  command: Command,
): Promise<void> {
  if (svg === "-" && json) command.error("error: --json and --svg - both print to standard output");
  try {
    if (list) {
      printList(await readList(file), json);
      return;
    }
    const map = await readMap(file, at);
    if (svg !== undefined) writeOut(svg, mapSvg(map));
    if (json) printJson(dumpJson(map));
    else if (svg === undefined) printText(mapText(map), COLOURS);
    if (!json) printNotes(file, map);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complain(error.message);
    process.exitCode = 1;
  }
}

const HELP = `${FILES}

Addresses ascend from top to bottom, and sizes are told by their logarithm, so
that a window of 8 bytes and a gigabyte are both there to be read. A slot of
engine.slots() may carry its dirty log as "dirty", in base64: it is drawn as heat.

What the file was taken for is the last line; what of it was passed over, or is
open, is noted on standard error, and in the fields "source" and "notes" of JSON.

Exit code: 0 done, 1 the input is wrong (standard error names file and line),
2 the command line is wrong.

Examples:
  $ memslots show boot.jsonl.gz
  $ memslots show --at 114 --svg map.svg boot.jsonl.gz
  $ memslots show --json boot.jsonl.gz | jq '.mappings[].gpa'
  $ memslots show mtree.txt`;
