/** The arguments of `npm run bench`; tasks.mjs checks them before it builds, run.ts acts on them. */
import { Argument, Command, Option } from "commander";

export const BENCH_ABOUT = "measure lookups, swaps and the rest against named competitors";

/** In the order of the report; harness/groups.ts has them. */
export const GROUP_NAMES = [
  "lookup",
  "swap",
  "js",
  "batch",
  "commit",
  "hva",
  "guestmem",
  "access",
  "dirty",
  "sync",
  "topology",
  "boot",
  "memory",
  "runtimes",
  "kvm",
];

/** A command that throws instead of exiting, and complains in one line. */
export function plainCommand(name) {
  return new Command(name)
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({ outputError: (text, write) => write(text) })
    .action(() => {});
}

/** What a run does with them; each gets commander's arguments. */
const NOTHING = { measure() {}, compare() {}, page() {} };

export function benchCommand(name, { measure, compare, page } = NOTHING) {
  const command = plainCommand(name).description(BENCH_ABOUT);
  const collect = (value, before) => [...(before ?? []), value];
  const measuring = new Command("measure").copyInheritedSettings(command);
  measuring
    .description("measure groups, all of them if none is given; the word may be left out")
    .addArgument(new Argument("[group...]").choices(GROUP_NAMES))
    .option(
      "--quick",
      "the whole table in under three minutes: fewer rounds, less data, one process for each case",
    )
    .option("--cases <text>", "only cases whose name has this text; none at all if it is empty")
    .addOption(
      new Option(
        "--from <file>",
        "results of an earlier run, of which this run replaces what it measures",
      ).argParser(collect),
    )
    .option("--json <file>", "write the results; bench/results/ keeps dated ones")
    .option("--svg <folder>", "draw the curves that the documentation shows")
    .option("--docs <file>", "write the table of the results into a document, between its marks")
    .option("--smoke", "tiny sizes: only checks that all competitors give the same results")
    .action(measure);
  const comparing = new Command("compare").copyInheritedSettings(command);
  comparing
    .description("two results side by side, with their quartiles")
    .argument("<before>", "file of --json")
    .argument("<after>", "file of --json")
    .action(compare);
  const paging = new Command("page").copyInheritedSettings(command);
  paging
    .description("serve a page that runs lookup and swap in the browser and draws the curves")
    .argument("[port]", "of the server, any free one if not given")
    .action(page);
  return command
    .addHelpText(
      "after",
      () => `\n${measuring.helpInformation().replace(/^Usage: .*\n\n.*\n(?:.*[^:]\n)*\n/, "")}`,
    )
    .usage("[group...] [options] | compare <before> <after> | page [port]")
    .addCommand(measuring, { isDefault: true })
    .addCommand(comparing)
    .addCommand(paging);
}
