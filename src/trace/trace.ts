/**
 * The recorded boot of a machine: what QEMU told KVM about guest memory, line by line. First line: the
 * machine and its RAM blocks. Then, in time order, lines of four kinds, told apart by a field:
 *   update    `slot`      one KVM_SET_USER_MEMORY_REGION
 *   mark      `mark`      monitor command, event or state change; it tells when the machine ran
 *   sections  `sections`  RAM sections a vhost listener was given after a commit (recorded without KVM)
 *   romd      `romd`      a flash device enters or leaves its readable mode (recorded without KVM)
 * The parser is strict about every field it knows and ignores those it does not know.
 *
 * Invariant of a Trace: the updates of a commit stand in one run of lines, and commit ids ascend.
 */
import { BlockLayout } from "./blocks.js";
import { InputError, type JsonLine, parseJsonLine } from "./jsonl.js";
import { address, exact, parseUpdate, type Update } from "./update.js";

/** init: before the first instruction; paused: stopped since; running: the rest. */
export type Phase = "init" | "paused" | "running";

/** The updates of one memory transaction of the VMM. */
export interface Commit {
  readonly id: number;
  readonly phase: Phase;
  readonly updates: readonly Update[];
}

export interface Trace {
  readonly file: string;
  readonly machine: string;
  readonly blocks: BlockLayout;
  readonly commits: readonly Commit[];
  readonly updates: number;
  /** Section lists of a vhost listener; not zero only in a trace recorded without KVM. */
  readonly sections: number;
  /** Changes of a flash device's mode, likewise. */
  readonly romds: number;
}

/** The trace in the text of a file. @throws InputError with the line that is wrong. */
export function parseTrace(file: string, text: string): Trace {
  const parser = new TraceParser(file);
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  lines.forEach((line, index) => {
    parser.take(parseJsonLine(file, index + 1, line));
  });
  return parser.trace();
}

/** Takes the lines of a trace one by one. */
export class TraceParser {
  readonly #file: string;
  readonly #commits: { id: number; phase: Phase; updates: Update[] }[] = [];
  #header: { machine: string; blocks: BlockLayout } | undefined;
  #phase: Phase = "init";
  #updates = 0;
  #sections = 0;
  #romds = 0;

  constructor(file: string) {
    this.#file = file;
  }

  take(line: JsonLine): void {
    if (this.#header === undefined) {
      this.#header = parseHeader(line);
      return;
    }
    if (line.has("machine")) line.fail("a second header");
    line.number("t");
    if (line.has("mark")) this.#phase = phaseAfter(line.text("mark"), this.#phase);
    else if (line.has("sections")) this.#takeSections(line);
    else if (line.has("romd")) this.#takeRomd(line);
    else if (line.has("slot") || line.has("kind"))
      this.#takeUpdate(parseUpdate(line, this.#header.blocks), line);
    else line.fail("unknown kind of line: it has none of slot, mark, sections, romd");
  }

  trace(): Trace {
    if (this.#header === undefined)
      throw new InputError(this.#file, 1, "the file is empty, its first line must name the machine");
    return {
      file: this.#file,
      ...this.#header,
      commits: this.#commits,
      updates: this.#updates,
      sections: this.#sections,
      romds: this.#romds,
    };
  }

  #takeUpdate(update: Update, line: JsonLine): void {
    const last = this.#commits.at(-1);
    if (last !== undefined && update.commit < last.id) {
      line.fail(`commit ${update.commit} after commit ${last.id}: lines are out of order`);
    }
    if (last?.id === update.commit) last.updates.push(update);
    else this.#commits.push({ id: update.commit, phase: this.#phase, updates: [update] });
    this.#updates++;
  }

  #takeSections(line: JsonLine): void {
    line.integer("commit", 0, Number.MAX_SAFE_INTEGER);
    for (const name of ["started", "changed"]) line.integer(name, 0, 1);
    for (const name of ["sections", "added", "removed"]) {
      line.list(name).forEach((value, index) => {
        const section = line.inner(value, `${name}[${index}]`);
        section.text("name");
        for (const field of ["gpa", "size", "off"]) address(section, field);
      });
    }
    this.#sections++;
  }

  #takeRomd(line: JsonLine): void {
    line.text("romd");
    line.integer("on", 0, 1);
    this.#romds++;
  }
}

function parseHeader(header: JsonLine): { machine: string; blocks: BlockLayout } {
  const machine = header.text("machine");
  for (const name of ["args", "note", "qemu", "source"]) if (header.has(name)) header.text(name);
  return { machine, blocks: parseBlocks(header) };
}

function parseBlocks(header: JsonLine): BlockLayout {
  const layout = new BlockLayout();
  // A trace of a vhost listener has no host addresses, hence no blocks.
  if (header.has("source") && !header.has("blocks")) return layout;
  const blocks = header.inner(header.field("blocks"), `field "blocks"`);
  for (const name of Object.keys(blocks.value)) {
    const bytes = exact(
      blocks,
      blocks.hexOf(blocks.value[name], `length of block "${name}"`),
      `block "${name}"`,
    );
    if (!layout.add(name, bytes))
      header.fail(`block "${name}" of 0x${bytes.toString(16)} bytes: address space is full`);
  }
  return layout;
}

/** A stop before the machine ever ran leaves it where it is: not started. */
function phaseAfter(mark: string, phase: Phase): Phase {
  if (mark === "monitor: cont" || mark === "event: RESUME" || mark.startsWith("vm_state_notify running 1")) {
    return "running";
  }
  const stops = mark === "event: STOP" || mark.startsWith("vm_state_notify running 0");
  return stops && phase === "running" ? "paused" : phase;
}
