/**
 * Conformance vectors: the recorded results of a real KVM, operation by operation. A line with `seq` opens a sequence,
 * a fresh VM; the op lines up to the next one belong to it. An op holds its arguments and the observations. readVectors
 * checks that both are present and of their types, so that a replay never compares a field that is missing on both
 * sides.
 */
import { readJsonLines } from "../../src/cli/input.js";
import { InputError, type JsonLine } from "../../src/trace/jsonl.js";
import { type Observed, VectorMachine, type VectorOp } from "./machine.js";

export type { VectorOp } from "./machine.js";

export type VectorSequence = {
  header: Record<string, unknown> & { seq: string; vcpus: number };
  ops: VectorOp[];
  /**
   * Line of the header, where the sequence was read from a file; op `index` stands `index + 1` lines below.
   */
  line?: number;
};

export type Difference = { index: number; op: VectorOp; observed: Observed };

/** Every field that holds an observation. */
const OBSERVATIONS = ["res", "dirty", "bytes", "page", "rpage", "wrote", "touched", "pages", "rpages"];
const U32_MAX = 2 ** 32 - 1;
const ERRNO_MAX = 4095;

/** Yield the sequences of a file, .jsonl or .jsonl.gz. @throws InputError naming file and line. */
export async function* readVectors(file: string): AsyncGenerator<VectorSequence> {
  let sequence: VectorSequence | undefined;
  for await (const line of readJsonLines(file)) {
    if (line.has("seq")) {
      if (sequence !== undefined) yield sequence;
      const header = { ...line.value, seq: line.text("seq"), vcpus: line.integer("vcpus", 0, 1) };
      sequence = { header, ops: [], line: line.line };
    } else if (sequence === undefined) line.fail(`an op before the first line with "seq"`);
    else sequence.ops.push(parseOp(line));
  }
  if (sequence === undefined)
    throw new InputError(file, 1, "the file is empty, it must start with a sequence");
  yield sequence;
}

/**
 * Run a sequence on a fresh engine; with `saveEvery`, save and restore the engine after so many ops.
 * @returns the ops whose observations are not those recorded.
 */
export async function replaySequence(
  { header, ops }: VectorSequence,
  options: { viaList: boolean; saveEvery?: number },
): Promise<Difference[]> {
  const spareVcpus = ops.filter(({ op }) => op === "create_vcpu").length;
  const machine = await VectorMachine.create(header.vcpus, spareVcpus, options.viaList);
  const differences: Difference[] = [];
  try {
    for (const [index, op] of ops.entries()) {
      const observed = observe(machine, op);
      if (differs(op, observed)) differences.push({ index, op, observed });
      if (options.saveEvery !== undefined && (index + 1) % options.saveEvery === 0)
        await machine.saveAndRestore();
    }
  } finally {
    machine.close();
  }
  return differences;
}

/** Any other error than KVM's refusal counts as a wrong result; the sequence goes on. */
function observe(machine: VectorMachine, op: VectorOp): Observed {
  try {
    return machine.execute(op);
  } catch (error) {
    return { threw: String(error) };
  }
}

/** A field observed but not recorded differs as well as the other way round. */
function differs(op: VectorOp, observed: Observed): boolean {
  return OBSERVATIONS.some((name) => JSON.stringify(op[name]) !== JSON.stringify(observed[name]));
}

function parseOp(line: JsonLine): VectorOp {
  const op = line.text("op");
  const check = Object.hasOwn(CHECKS, op) ? CHECKS[op] : undefined;
  if (check === undefined) line.fail(`unknown op "${op}"`);
  check(line);
  return { ...line.value, op };
}

const CHECKS: Readonly<Record<string, (line: JsonLine) => void>> = {
  set: checkSet,
  set2(line) {
    checkSet(line);
    if (line.has("gmem_offset")) line.hex("gmem_offset");
    if (line.has("gmem_fd")) line.integer("gmem_fd", -(2 ** 31), U32_MAX);
  },
  get_dirty_log(line) {
    line.integer("slot", 0, U32_MAX);
    if (!badPointer(line, "bitmap") && checkRes(line) === 0) {
      line.integer("bytes", 0, Number.MAX_SAFE_INTEGER);
      checkPages(line, "dirty");
    }
    checkRes(line);
  },
  clear_dirty_log(line) {
    line.integer("slot", 0, U32_MAX);
    line.hex("first_page");
    line.integer("num_pages", 0, U32_MAX);
    if (!badPointer(line, "bitmap")) checkPages(line, "bits");
    checkRes(line);
  },
  enable_cap(line) {
    line.text("cap");
    line.integer("arg0", 0, Number.MAX_SAFE_INTEGER);
    if (line.has("cap_flags")) line.integer("cap_flags", 0, U32_MAX);
    checkRes(line);
  },
  create_vcpu: checkRes,
  translate(line) {
    line.hex("gpa");
    checkPage(line, line.field("page"), "page");
    if (line.has("rpage")) checkPage(line, line.field("rpage"), "rpage");
  },
  sweep(line) {
    line.hex("gpa");
    const n = line.integer("n", 1, 2 ** 20);
    for (const name of line.has("rpages") ? ["pages", "rpages"] : ["pages"]) {
      const pages = line.list(name);
      if (pages.length !== n) line.fail(`field "${name}" must have ${n} entries, it has ${pages.length}`);
      pages.forEach((page, index) => void checkPage(line, page, `${name}[${index}]`));
    }
  },
  write_guest(line) {
    line.hex("gpa");
    line.integer("len", 12, 12);
    checkPages(line, "wrote");
    checkPages(line, "touched");
  },
};

function checkSet(line: JsonLine): void {
  checkRes(line);
  if (badPointer(line, "arg")) return;
  line.integer("slot", 0, U32_MAX);
  line.integer("flags", 0, U32_MAX);
  for (const name of ["gpa", "size", line.has("hva_abs") ? "hva_abs" : "hva"]) line.hex(name);
}

function badPointer(line: JsonLine, name: string): boolean {
  if (!line.has(name)) return false;
  if (line.text(name) !== "badptr") line.fail(`field "${name}" must be "badptr" where it is given`);
  return true;
}

function checkRes(line: JsonLine): number {
  return line.integer("res", -ERRNO_MAX, 0);
}

function checkPages(line: JsonLine, name: string): void {
  line.list(name).forEach((page, index) => {
    if (page === null) line.fail(`${name}[${index}] must be a page index, it is null`);
    checkPage(line, page, `${name}[${index}]`);
  });
}

function checkPage(line: JsonLine, page: unknown, what: string): void {
  if (page === null || (Number.isSafeInteger(page) && (page as number) >= 0)) return;
  line.fail(`${what} must be a page index or null, it is ${JSON.stringify(page)}`);
}
