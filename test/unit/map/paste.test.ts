/**
 * Every file of test/traces/formats as people paste it: each way of the text leaves the answer as it is, or the line of
 * the error. And every dump of test/traces/dumps is what it was after show, export and show.
 */
import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { diffMaps } from "../../../src/map/diff.js";
import { dumpJson, parseDump } from "../../../src/map/dump.js";
import { mtreeText, slotsOf } from "../../../src/map/export.js";
import type { MemoryMap } from "../../../src/map/memorymap.js";
import { mapOf, parseSource } from "../../../src/map/source.js";
import { InputError } from "../../../src/trace/jsonl.js";

const FOLDER = new URL("../../traces/formats/", import.meta.url);
const FILES = readdirSync(FOLDER).sort();
const read = (name: string) => readFileSync(new URL(name, FOLDER), "utf8");

const eachLine = (text: string, change: (line: string) => string) =>
  text.trimEnd().split("\n").map(change).join("\n");

/** What a way does to a text; it has as many lines before it as `before` says. */
interface Way {
  readonly before?: number;
  paste(text: string): string;
}

const WAYS: Readonly<Record<string, Way>> = {
  "carriage returns": { paste: (text) => text.replaceAll("\n", "\r\n") },
  "blanks at the ends of lines": { paste: (text) => eachLine(text, (line) => `${line}   `) },
  "tabs at the ends of lines": { paste: (text) => eachLine(text, (line) => `${line}\t`) },
  "indented by tabs": { paste: (text) => eachLine(text, (line) => `\t${line}`) },
  quoted: { paste: (text) => eachLine(text, (line) => `> ${line}`) },
  "quoted twice": { paste: (text) => eachLine(text, (line) => `> > ${line}`) },
  "no-break spaces": { paste: (text) => text.replaceAll(" ", "\u00a0") },
  colours: { paste: (text) => eachLine(text, (line) => `\x1b[32m${line}\x1b[0m\x1b[K`) },
  "a byte order mark": { paste: (text) => `\ufeff${text}` },
  "in a block of code": { before: 1, paste: (text) => `\`\`\`\n${text.trimEnd()}\n\`\`\`\n` },
  "with blank lines around": { before: 2, paste: (text) => `\n\n${text}\n\n` },
};

/** JSON is no text that a terminal or a mail changes line by line. */
const JSON_WAYS = ["carriage returns", "with blank lines around"];

function answerOf(text: string, before = 0): string {
  try {
    const found = mapOf("f", parseSource("f", text), undefined);
    const notes = (found.notes ?? []).map(({ text: note }) =>
      note.replace(/line (\d+)/, (_, n) => `line ${n - before}`),
    );
    return JSON.stringify([found.mappings, notes]);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return `${(error.line ?? 0) - before}: ${error.reason}`;
  }
}

for (const name of FILES) {
  for (const [way, { before = 0, paste }] of Object.entries(WAYS)) {
    const isJson = /\.jsonl?$/.test(name);
    if (isJson && !JSON_WAYS.includes(way)) continue;
    // A trace has a line for each update, and nothing else.
    if (name.endsWith(".jsonl") && before > 0) continue;
    test(`${name} pasted: ${way}`, () => {
      const text = read(name);
      assert.is(answerOf(paste(text), before), answerOf(text));
    });
  }
}

test("two dumps in one text are named by --at, whatever they are", () => {
  const texts = FILES.filter((name) => /mtree/.test(name)).map((name) => [name, read(name)] as const);
  for (const [name, text] of texts) {
    const twice = `${text.trimEnd()}\n\n(qemu) info mtree -f\n${text}`;
    const source = parseSource("f", twice);
    assert.ok(source.kind === "maps");
    assert.is(source.entries.length, 2, name);
    for (const entry of source.entries)
      assert.equal(entry.map().mappings, mapOf("f", parseSource("f", text), undefined).mappings, name);
    assert.throws(() => mapOf("f", source, undefined), /another dump begins/);
  }
});

const DUMPS = gunzipSync(readFileSync(new URL("../../traces/dumps/qemu-7.2.jsonl.gz", import.meta.url)))
  .toString()
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Record<"machine" | "tree" | "flat" | "owner" | "ramblock", string>);

/** Blocks of one name and different owners have a number in the map; a dump does not tell them apart. */
const isTold = ({ mappings }: MemoryMap) => mappings.every(({ block }) => !/#\d+$/.test(block));

for (const { machine, tree, flat, owner, ramblock } of DUMPS) {
  test(`${machine}: show reads, export writes, show reads the same again`, () => {
    for (const [form, text] of Object.entries({ tree, flat, owner, ramblock: `${owner}\n${ramblock}` })) {
      const found = mapOf("f", parseSource("f", text), undefined);
      const again = parseDump("f", JSON.stringify(dumpJson(found)));
      assert.equal(again.mappings, found.mappings, `${form}, JSON`);
      assert.equal(slotsOf(again, new Map()), slotsOf(found, new Map()), `${form}, slots`);
      if (!isTold(found)) continue;
      const written = mtreeText(found);
      const readAgain = mapOf("f", parseSource("f", written), undefined);
      assert.equal(diffMaps(readAgain, found), [], `${form}, text`);
      assert.is(mtreeText(readAgain), written, `${form}, text of the text`);
    }
  });
}

test.run();
