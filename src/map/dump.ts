/**
 * Dumps of one layout in JSON: what `engine.slots()` answers, and what `memslots show --json` prints. A slot of
 * an engine may carry its dirty log as `dirty`, base64 of what `engine.getDirtyLog` answers.
 */
import { InputError, JsonLine } from "../trace/jsonl.js";
import { parseJsonText } from "../trace/jsontext.js";
import { address } from "../trace/update.js";
import {
  HOST,
  inOrder,
  type MapNote,
  type Mapping,
  type MemoryMap,
  mappingOf,
  overlapIn,
  PAGE_BYTES,
} from "./memorymap.js";

const U32_MAX = 2 ** 32 - 1;
const FLAGS_MAX = 7;
const S32_MAX = 2 ** 31 - 1;

/** The map in the text of a JSON dump. @throws InputError naming the entry and field that is wrong */
export function parseDump(file: string, text: string): MemoryMap {
  let value: unknown;
  try {
    value = parseJsonText(text);
  } catch (error) {
    throw new InputError(file, undefined, `not JSON: ${(error as Error).message}`);
  }
  const whole = new JsonLine(file, 1, Array.isArray(value) ? { slots: value } : Object(value));
  const parse = whole.has("slots") ? parseSlot : parseMapping;
  const entries = whole.list(whole.has("slots") ? "slots" : "mappings");
  const title = whole.has("title") ? whole.text("title") : `${file}, ${entries.length} slots`;
  const mappings = inOrder(
    entries.map((entry, index) => parse(new JsonEntry(whole.inner(entry, `entry ${index}`), index))),
  );
  const source = whole.has("slots") ? "the slots of an engine" : sourceIn(whole);
  const notes = notesIn(whole);
  const overlap = overlapIn(mappings);
  if (overlap !== undefined) {
    const [a, b] = overlap.map(({ start, end }) => `[0x${start.toString(16)}, 0x${end.toString(16)})`);
    throw new InputError(file, undefined, `${a} and ${b} overlap`);
  }
  const hosts = hostsIn(whole);
  return {
    title,
    mappings,
    ...(source !== undefined && { source }),
    ...(notes.length > 0 && { notes }),
    ...(hosts !== undefined && { hosts }),
  };
}

function sourceIn(whole: JsonLine): string | undefined {
  return whole.has("source") ? whole.text("source") : undefined;
}

function notesIn(whole: JsonLine): MapNote[] {
  const notes = whole.has("notes") ? whole.list("notes") : [];
  return notes.map((value, i) => {
    const note = whole.inner(value, `notes[${i}]`);
    return {
      line: note.has("line") ? note.integer("line", 1, Number.MAX_SAFE_INTEGER) : undefined,
      text: note.text("text"),
    };
  });
}

function hostsIn(whole: JsonLine): MemoryMap["hosts"] {
  if (!whole.has("hosts")) return undefined;
  const hosts = whole.inner(whole.field("hosts"), 'field "hosts"');
  return new Map(Object.keys(hosts.value).map((block) => [block, address(hosts, block)]));
}

/** An entry of a dump: it is refused by its index, because all of a dump may be one line. */
class JsonEntry extends JsonLine {
  readonly #index: number;

  constructor({ file, line, value }: JsonLine, index: number) {
    super(file, line, value);
    this.#index = index;
  }

  override fail(reason: string): never {
    throw new InputError(this.file, undefined, `entry ${this.#index}: ${reason}`);
  }
}

function parseSlot(entry: JsonEntry): Mapping {
  const number = (name: string) => entry.integer(name, 0, Number.MAX_SAFE_INTEGER);
  const mapping = mappingOf({
    slot: entry.integer("slot", 0, U32_MAX),
    flags: entry.integer("flags", 0, FLAGS_MAX),
    guestPhysAddr: number("guestPhysAddr"),
    memorySize: entry.integer("memorySize", 1, Number.MAX_SAFE_INTEGER),
    userspaceAddr: number("userspaceAddr"),
    ...memfdOf(entry),
  });
  return withDirty(checked(entry, mapping), entry);
}

function memfdOf(entry: JsonEntry): Pick<Mapping, "guestMemfd" | "guestMemfdOffset"> {
  if (!entry.has("guestMemfd")) return {};
  return {
    guestMemfd: entry.integer("guestMemfd", 0, S32_MAX),
    guestMemfdOffset: entry.has("guestMemfdOffset")
      ? entry.integer("guestMemfdOffset", 0, Number.MAX_SAFE_INTEGER)
      : 0,
  };
}

/** "host" is the host and its offsets are addresses, unless it is said to be a name. */
function blockOf(entry: JsonEntry, kind: Mapping["kind"]): string {
  if (kind === "mmio") return entry.text("mmio");
  const block = entry.text("block");
  return block === "host" && !entry.has("named") ? HOST : block;
}

function parseMapping(entry: JsonEntry): Mapping {
  const start = address(entry, "gpa");
  const kind = entry.has("mmio") ? "mmio" : "ram";
  const mapping: Mapping = {
    asId: entry.has("asId") ? entry.integer("asId", 0, U32_MAX >>> 16) : 0,
    start,
    end: start + address(entry, "size"),
    kind,
    block: blockOf(entry, kind),
    off: address(entry, "off"),
    flags: entry.integer("flags", 0, FLAGS_MAX),
    ...(entry.has("slot") && { slot: entry.integer("slot", 0, U32_MAX) }),
    ...memfdOf(entry),
  };
  return withDirty(checked(entry, mapping), entry);
}

function checked(entry: JsonEntry, mapping: Mapping): Mapping {
  if (mapping.end <= mapping.start) entry.fail("its size is 0");
  const { start, end, off } = mapping;
  if (end > Number.MAX_SAFE_INTEGER) entry.fail("it ends beyond 2^53");
  if (off + (end - start) > Number.MAX_SAFE_INTEGER) entry.fail("its block ends beyond 2^53");
  return mapping;
}

function withDirty(mapping: Mapping, entry: JsonEntry): Mapping {
  if (!entry.has("dirty")) return mapping;
  const text = entry.text("dirty", Number.POSITIVE_INFINITY);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0)
    entry.fail(`field "dirty" is not base64`);
  const dirty = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const pages = Math.ceil((mapping.end - mapping.start) / PAGE_BYTES);
  const bytes = Math.ceil(pages / 64) * 8;
  if (dirty.length !== bytes) {
    entry.fail(`field "dirty" has ${dirty.length} bytes, the log of ${pages} pages has ${bytes}`);
  }
  return { ...mapping, dirty };
}

/** Base64, as the field `dirty` is written. */
export function dirtyText(dirty: Uint8Array): string {
  return btoa(Array.from(dirty, (byte) => String.fromCharCode(byte)).join(""));
}

/** A map as `memslots show --json` prints it; parseDump reads it back. */
export function dumpJson({ title, source, mappings, notes = [], hosts }: MemoryMap): object {
  const hex = (value: number) => `0x${value.toString(16)}`;
  return {
    title,
    ...(source !== undefined && { source }),
    notes: notes.map(({ line, text }) => ({ ...(line !== undefined && { line }), text })),
    ...(hosts !== undefined && {
      hosts: Object.fromEntries([...hosts].map(([block, host]) => [block, hex(host)])),
    }),
    mappings: mappings.map(({ asId, start, end, kind, block, off, flags, slot, dirty, ...memfd }) => ({
      ...(slot !== undefined && { slot }),
      asId,
      flags,
      gpa: hex(start),
      size: hex(end - start),
      [kind === "mmio" ? "mmio" : "block"]: block === HOST ? "host" : block,
      ...(kind === "ram" && block === "host" && { named: true }),
      off: hex(off),
      ...memfd,
      ...(dirty !== undefined && { dirty: dirtyText(dirty) }),
    })),
  };
}
