/** `memslots show`: the map that a trace or a dump holds, drawn for a terminal or as SVG. */
import { Command } from "commander";
import { FILES, parseCommit } from "./arguments.js";
import { dumpJson } from "./dump.js";
import { InputError } from "./jsonl.js";
import { mapSvg } from "./mapsvg.js";
import { mapText } from "./maptext.js";
import { readMap } from "./readsource.js";
import { writeOut } from "./writeout.js";

interface Options {
  readonly at?: number;
  readonly svg?: string;
  readonly json?: boolean;
}

export function showCommand(): Command {
  return new Command("show")
    .description("Draw a memory map: guest addresses against the host memory behind them.")
    .argument("<file>", "a trace or a dump; - is standard input")
    .option("--at <commit>", "of a trace: the map after this commit", parseCommit)
    .option("--svg <out>", "write an SVG file instead, for light and dark; - is standard output")
    .option("--json", "print the map as JSON instead, the addresses in hex")
    .addHelpText("after", HELP)
    .action(show);
}

async function show(file: string, { at, svg, json = false }: Options): Promise<void> {
  try {
    const map = await readMap(file, at);
    if (svg !== undefined) writeOut(svg, mapSvg(map));
    if (json) process.stdout.write(`${JSON.stringify(dumpJson(map))}\n`);
    else if (svg === undefined) process.stdout.write(mapText(map));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    process.stderr.write(`memslots: ${error.message}\n`);
    process.exitCode = 1;
  }
}

const HELP = `${FILES}

Addresses ascend from top to bottom, and sizes are told by their logarithm, so
that a window of 8 bytes and a gigabyte are both there to be read. A slot of
engine.slots() may carry its dirty log as "dirty", in base64: it is drawn as heat.

Exit code: 0 done, 1 the input is wrong (standard error names file and line),
2 the command line is wrong.

Examples:
  $ memslots show boot.jsonl.gz
  $ memslots show --at 114 --svg map.svg boot.jsonl.gz
  $ memslots show --json boot.jsonl.gz | jq '.mappings[].gpa'
  $ memslots show mtree.txt`;
