/**
 * The vector reader and the comparison: an observation that is altered, left out or added is found, each by
 * itself.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { throwsInputError } from "../../support/inputerror.js";
import { jsonlFile, tempFile } from "../../support/tempfile.js";
import { readVectors, replaySequence, type VectorOp, type VectorSequence } from "../../support/vectors.js";

const DIRECTED = fileURLToPath(new URL("../../vectors/directed.jsonl.gz", import.meta.url));
const CONFORMANCE = fileURLToPath(new URL("../../conformance.ts", import.meta.url));
const HEADER = { seq: "hand/1", vcpus: 1 };
const SET = { op: "set", slot: 0, flags: 1, gpa: "0x10000", size: "0x2000", hva: "0x5000", res: 0 };

async function readAll(file: string): Promise<VectorSequence[]> {
  const sequences = [];
  for await (const sequence of readVectors(file)) sequences.push(sequence);
  return sequences;
}

const sequence = (ops: VectorOp[], vcpus = 1): VectorSequence => ({ header: { ...HEADER, vcpus }, ops });

function without(object: Record<string, unknown>, name: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));
}

/** Another value of the same kind. */
function altered(value: unknown): unknown {
  if (typeof value === "number") return value - 1;
  if (value === null) return 0;
  const list = value as (number | null)[];
  return list.length === 0 ? [1] : [...list.slice(0, -1), altered(list.at(-1))];
}

test("sequences are read with their headers, ops and lines, plain and gzipped", async () => {
  const lines = [HEADER, SET, { op: "create_vcpu", res: 0 }, { seq: "hand/2", vcpus: 0, why: "w" }, SET];
  const text = lines.map((line) => JSON.stringify(line)).join("\n");
  for (const file of [tempFile("jsonl", text), tempFile("jsonl.gz", gzipSync(text))]) {
    const sequences = await readAll(file);
    assert.equal(
      sequences.map(({ header, ops, line }) => [header.seq, header.vcpus, ops.length, line]),
      [
        ["hand/1", 1, 2, 1],
        ["hand/2", 0, 1, 4],
      ],
    );
    assert.equal(sequences[0]?.ops[0], SET);
  }
});

for (const viaList of [false, true]) {
  const how = viaList ? "through lists" : "through single calls";

  test(`directed vectors ${how}: no difference; an altered observation is the only one`, async () => {
    const sequences = await readAll(DIRECTED);
    const seen = new Set<string>();
    for (const { header, ops } of sequences) {
      assert.equal(await replaySequence({ header, ops }, { viaList }), [], header.seq);
      for (const name of ["res", "dirty", "bytes", "page", "rpage", "wrote", "touched", "pages", "rpages"]) {
        const having = ops.flatMap((op, index) => (name in op ? [index] : []));
        if (having.length === 0) continue;
        seen.add(name);
        const wrong = ops.map((op) => (name in op ? { ...op, [name]: altered(op[name]) } : op));
        const differences = await replaySequence({ header, ops: wrong }, { viaList });
        assert.equal(
          differences.map(({ index }) => index),
          having,
          `${name} of ${header.seq}`,
        );
        assert.equal(
          differences.map(({ index, observed }) => ({ ...wrong[index], ...observed })),
          having.map((index) => ops[index]),
        );
      }
    }
    assert.is(seen.size, 9, "each kind of observation was altered somewhere");
  });
}

test("an observation that is not recorded differs", async () => {
  const readonly = [
    { ...SET, flags: 2 },
    { op: "translate", gpa: "0x10000", page: null, rpage: 5 },
    { op: "sweep", gpa: "0xf000", n: 2, pages: [null, null], rpages: [null, 5] },
  ];
  assert.equal(await replaySequence(sequence(readonly), { viaList: false }), []);
  const bare = readonly.map((op) => without(without(op, "rpage"), "rpages") as VectorOp);
  assert.equal(
    (await replaySequence(sequence(bare), { viaList: false })).map(({ index, observed }) => [
      index,
      observed,
    ]),
    [
      [1, { page: null, rpage: 5 }],
      [2, { pages: [null, null], rpages: [null, 5] }],
    ],
  );
});

test("an exception that is no refusal is a difference, and the sequence goes on", async () => {
  const ops = [{ op: "enable_cap", cap: "no_such_cap", arg0: 1, res: 0 }, SET];
  const differences = await replaySequence(sequence(ops), { viaList: false });
  assert.equal(
    differences.map(({ index, observed }) => [index, observed]),
    [[0, { threw: 'TypeError: unknown cap "no_such_cap"' }]],
  );
});

test("a crossing write reaches the pages it can, in order, and marks only those", async () => {
  const ops = [
    SET,
    { ...SET, slot: 1, flags: 3, gpa: "0x12000", hva: "0x20000" },
    { op: "write_guest", gpa: "0x11ff8", len: 12, wrote: [6], touched: [6] },
    { op: "get_dirty_log", slot: 0, res: 0, bytes: 8, dirty: [1] },
    { op: "get_dirty_log", slot: 0, res: 0, bytes: 8, dirty: [] },
    { op: "write_guest", gpa: "0x11ffe", len: 12, wrote: [6], touched: [6, 32] },
    { op: "get_dirty_log", slot: 1, res: 0, bytes: 8, dirty: [] },
    { op: "write_guest", gpa: "0xfffc", len: 12, wrote: [], touched: [] },
    { op: "write_guest", gpa: "0x10ffc", len: 12, wrote: [5, 6], touched: [5, 6] },
    { op: "get_dirty_log", slot: 0, res: 0, bytes: 8, dirty: [0, 1] },
    { op: "write_guest", gpa: "0xfffffffffffff000", len: 12, wrote: [], touched: [] },
  ];
  assert.equal(await replaySequence(sequence(ops), { viaList: false }), []);
});

test("vCPUs of the header are there before the first op", async () => {
  const ring = { op: "enable_cap", cap: "dirty_log_ring", arg0: 4096 };
  assert.equal(await replaySequence(sequence([{ ...ring, res: 0 }], 0), { viaList: false }), []);
  assert.equal(await replaySequence(sequence([{ ...ring, res: -22 }], 1), { viaList: false }), []);
});

test("host memory ends with the arena: an access beyond it fails and marks nothing", async () => {
  const slot = (slot: number, gpa: string, hva: object): VectorOp => {
    return { op: "set", ...without(SET, "hva"), slot, gpa, ...hva };
  };
  const ops = [
    slot(0, "0x0", { hva: "0xfffffff000" }),
    slot(1, "0x8000", { hva_abs: "0xffffffff000" }),
    { op: "sweep", gpa: "0x0", n: 2, pages: [2 ** 28 - 1, null] },
    { op: "sweep", gpa: "0x8000", n: 2, pages: [null, 0] },
    { op: "get_dirty_log", slot: 0, res: 0, bytes: 8, dirty: [0] },
    { op: "get_dirty_log", slot: 1, res: 0, bytes: 8, dirty: [1] },
  ];
  assert.equal(await replaySequence(sequence(ops), { viaList: false }), []);
});

const WRONG: [string | object, RegExp][] = [
  ["", /^the line is empty/],
  ['{"op":', /^not JSON/],
  [{ slot: 0 }, /^field "op" is missing/],
  [{ op: "reset", res: 0 }, /^unknown op "reset"/],
  [{ op: "toString", res: 0 }, /^unknown op "toString"/],
  [{ seq: 4, vcpus: 0 }, /^field "seq" must be a string, it is 4/],
  [{ seq: "x" }, /^field "vcpus" is missing/],
  [{ seq: "x", vcpus: 2 }, /^field "vcpus" must be 0\.\.1, it is 2/],
  [{ ...SET, gpa: 0 }, /^field "gpa" must be a hex string/],
  [{ ...SET, size: "4096" }, /^field "size" must be a hex string/],
  [without(SET, "hva"), /^field "hva" is missing/],
  [without(SET, "res"), /^field "res" is missing/],
  [{ ...SET, res: 1 }, /^field "res" must be -4095\.\.0, it is 1/],
  [{ ...SET, slot: -1 }, /^field "slot" must be 0\.\.4294967295, it is -1/],
  [{ op: "set", arg: "nullptr", res: -14 }, /^field "arg" must be "badptr"/],
  [{ ...SET, op: "set2", gmem_fd: "3" }, /^field "gmem_fd" must be an integer/],
  [{ op: "get_dirty_log", slot: 0, res: 0, bytes: 8 }, /^field "dirty" is missing/],
  [{ op: "get_dirty_log", slot: 0, res: 0, dirty: [] }, /^field "bytes" is missing/],
  [
    { op: "get_dirty_log", slot: 0, res: 0, bytes: 8, dirty: [null] },
    /^dirty\[0\] must be a page index, it is null/,
  ],
  [{ op: "clear_dirty_log", slot: 0, first_page: "0x0", num_pages: 64, res: 0 }, /^field "bits" is missing/],
  [
    { op: "clear_dirty_log", slot: 0, first_page: 0, num_pages: 64, bits: [], res: 0 },
    /^field "first_page" must be a hex/,
  ],
  [{ op: "enable_cap", cap: "x", arg0: 1.5, res: 0 }, /^field "arg0" must be an integer/],
  [{ op: "translate", gpa: "0x0" }, /^field "page" is missing/],
  [{ op: "translate", gpa: "0x0", page: "0x5" }, /^page must be a page index or null, it is "0x5"/],
  [{ op: "sweep", gpa: "0x0", n: 2, pages: [1] }, /^field "pages" must have 2 entries, it has 1/],
  [
    { op: "sweep", gpa: "0x0", n: 1, pages: [1], rpages: [-1] },
    /^rpages\[0\] must be a page index or null, it is -1/,
  ],
  [
    { op: "write_guest", gpa: "0x0", len: 8, wrote: [], touched: [] },
    /^field "len" must be 12\.\.12, it is 8/,
  ],
  [{ op: "write_guest", gpa: "0x0", len: 12, wrote: [] }, /^field "touched" is missing/],
];

for (const [line, reason] of WRONG) {
  const text = typeof line === "string" ? line : JSON.stringify(line);
  test(`refused: ${text.slice(0, 100)} (${reason.source})`, async () => {
    const file = jsonlFile([HEADER, SET, line, SET]);
    await throwsInputError(() => readAll(file), file, 3, reason);
  });
}

test("a file without a sequence, or with ops before the first, is refused", async () => {
  const [empty, headless] = [tempFile("jsonl", ""), jsonlFile([SET, HEADER])];
  await throwsInputError(() => readAll(empty), empty, 1, /^the file is empty/);
  await throwsInputError(() => readAll(headless), headless, 1, /^an op before the first line with "seq"/);
});

function conformance(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", CONFORMANCE, ...args], {
    encoding: "utf8",
  });
  return { status, lines: stdout.trimEnd().split("\n"), stderr };
}

test("npm run conformance: 0 all pass, 1 a difference, in full, or a bad file, 2 wrong usage", () => {
  const good = jsonlFile([HEADER, SET, { ...SET, slot: 1, res: -17 }]);
  const wrong = jsonlFile([HEADER, SET, { ...SET, slot: 1, res: -22 }]);
  const bad = jsonlFile([HEADER, SET, { ...SET, flags: null }]);

  const pass = conformance("--via-list", good);
  assert.equal(pass, {
    status: 0,
    lines: [`${good}: 2 passed, 0 failed in 1 sequences`, "2 passed, 0 failed"],
    stderr: "",
  });

  const fail = conformance(good, wrong);
  assert.is(fail.status, 1);
  assert.is(fail.lines.at(-1), "3 passed, 1 failed");
  assert.ok(fail.lines.includes(`  ${wrong}:3: op 1 of hand/1`), fail.lines.join("\n"));
  assert.ok(fail.lines.includes(`    recorded ${JSON.stringify({ ...SET, slot: 1, res: -22 })}`));
  assert.ok(fail.lines.includes('    observed {"res":-17}'));

  const malformed = conformance(bad, good);
  assert.is(malformed.status, 1);
  assert.match(malformed.stderr, `${bad}:3: field "flags" must be an integer, it is null`);
  assert.is(malformed.lines.at(-1), "2 passed, 0 failed");

  const usage = conformance("--no-such-option");
  assert.is(usage.status, 2);
  assert.match(usage.stderr, /usage: npm run conformance/);
});

test.run();
