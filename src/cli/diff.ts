/**
 * `memslots diff`: what a guest would notice between two maps. Exit codes are those of diff(1), so that a script
 * can ask "are they equal?" without reading a word.
 */
import { Command } from "commander";
import { type Behind, diffMaps, IncomparableError, type MapChange } from "../map/diff.js";
import { bytesOf, HOST, type MemoryMap } from "../map/memorymap.js";
import { flagNames, hexText, sizeText, table } from "../replay/format.js";
import { rangeText } from "../replay/gaps.js";
import { InputError } from "../trace/jsonl.js";
import { printable } from "../trace/printable.js";
import { addNotes, FILES, parseCommit } from "./arguments.js";
import type { Colours } from "./colour.js";
import { readMap } from "./input.js";
import { complain, printJson, printNotes, printText } from "./writeout.js";

const EQUAL = 0;
const DIFFERENT = 1;
const TROUBLE = 2;

interface Options {
  readonly atA?: number;
  readonly atB?: number;
  readonly json?: boolean;
}

export function diffCommand(): Command {
  const command = new Command("diff")
    .description("Compare two memory maps: what was added, removed, moved, and whose flags changed.")
    .argument("<a>", "a trace or a dump; - is standard input")
    .argument("<b>", "another, or the same trace")
    .option("--at-a <n>", "of trace a: the map after commit n; of several dumps: the n-th", parseCommit)
    .option("--at-b <n>", "the same of b", parseCommit)
    .option("--json", "print one JSON object")
    .action(diff);
  return addNotes(command, HELP);
}

async function diff(a: string, b: string, { atA, atB, json = false }: Options): Promise<void> {
  try {
    if (a === "-" && b === "-") throw new InputError("-", undefined, "standard input can be read once only");
    const maps = [await readMap(a, atA), await readMap(b, atB)] as const;
    const changes = diffMaps(...maps);
    if (json) printJson(diffJson(maps, changes));
    else printText(diffText(maps, changes), COLOURS);
    printNotes(a, maps[0]);
    printNotes(b, maps[1]);
    process.exitCode = changes.length === 0 ? EQUAL : DIFFERENT;
  } catch (error) {
    if (!(error instanceof InputError || error instanceof IncomparableError)) throw error;
    complain(error.message);
    process.exitCode = TROUBLE;
  }
}

function diffJson([a, b]: readonly [MemoryMap, MemoryMap], changes: readonly MapChange[]): object {
  const side = (behind: Behind | undefined) =>
    behind && {
      [behind.kind === "mmio" ? "mmio" : "block"]: behind.block === HOST ? "host" : behind.block,
      off: hexText(behind.off),
      flags: behind.flags,
    };
  return {
    a: a.title,
    b: b.title,
    equal: changes.length === 0,
    changes: changes.map(({ kind, asId, start, end, before, after }) => ({
      kind,
      asId,
      gpa: hexText(start),
      size: hexText(end - start),
      before: side(before),
      after: side(after),
    })),
  };
}

const MARKS = { added: "+", removed: "-", moved: ">", flags: "*" } as const;

const COLOURS: Colours = [
  [/^(?:---|\+\+\+) .*$/gm, "bold"],
  [/^ {2}\+ .*$/gm, "green"],
  [/^ {2}- .*$/gm, "red"],
  [/^ {2}> .*$/gm, "yellow"],
  [/^ {2}\* .*$/gm, "cyan"],
];

/** Nothing if there is no change, as diff(1). */
function diffText([a, b]: readonly [MemoryMap, MemoryMap], changes: readonly MapChange[]): string {
  if (changes.length === 0) return "";
  const rows = changes.map((change) => {
    const { kind, asId, before, after } = change;
    const space = asId === 0 ? "" : ` of address space ${asId}`;
    const sides = [before, after].flatMap((behind) => (behind === undefined ? [] : [behindText(behind)]));
    return [
      `${MARKS[kind]} ${kind}`,
      rangeText(change) + space,
      sizeText(bytesOf(change)),
      sides.join(" -> "),
    ];
  });
  return [`--- ${printable(a.title)}`, `+++ ${printable(b.title)}`, ...table(rows, 1), ""].join("\n");
}

function behindText({ kind, block, off, flags }: Behind): string {
  if (kind === "mmio") return `mmio ${printable(block)}`;
  const place = block === HOST ? hexText(off) : `${printable(block)} ${hexText(off)}`;
  return [place, ...flagNames(flags)].join(" ");
}

const HELP = `${FILES}

Compared is what is behind every guest address, not how it is cut into slots: a
slot that was split, with the same host pages behind it, is no difference.
  + added    - removed    > moved: other memory behind it    * flags changed

Exit code, as of diff(1): 0 equal, 1 different, 2 trouble (the input or the
command line is wrong; standard error says what).

Examples:
  $ memslots diff --at-a 113 --at-b 114 boot.jsonl.gz boot.jsonl.gz
  $ memslots diff before.json after.json && echo equal
  $ memslots show --json boot.jsonl.gz | memslots diff --json - other.jsonl.gz`;
