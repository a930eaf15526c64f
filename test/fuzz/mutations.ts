/**
 * Inputs for the readers of files: texts that they know, with parts taken away, doubled, exchanged, replaced by what is
 * extreme or hostile. A case is data, so that it can be shrunk.
 */
import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";

const TRACES = new URL("../traces/", import.meta.url);
/** Longer ones are cut: what is wrong with a long text is mostly wrong with its beginning. */
const CHARACTERS_MAX = 6000;

function texts(folder: string): string[] {
  const url = new URL(`${folder}/`, TRACES);
  return readdirSync(url)
    .sort()
    .map((name) => {
      const bytes = readFileSync(new URL(name, url));
      return (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
    });
}

function dumps(): string[] {
  const lines = texts("dumps").flatMap((text) => text.trim().split("\n"));
  return [0, 40, 80, 120].flatMap((i) => {
    const { tree, flat, owner, ramblock } = JSON.parse(lines[i]!) as Record<string, string>;
    return [tree!, flat!, `${owner}\n${ramblock}`];
  });
}

/** What is written in no file of test/traces. */
const WRITTEN = [
  JSON.stringify([
    { slot: 0, flags: 3, guestPhysAddr: 0, memorySize: 0x2000, userspaceAddr: 4096, dirty: "AAAAAAAAAAA=" },
    {
      slot: 65537,
      flags: 4,
      guestPhysAddr: 0,
      memorySize: 4096,
      userspaceAddr: 0,
      guestMemfd: 3,
      guestMemfdOffset: 0,
    },
  ]),
  JSON.stringify({
    title: "t",
    source: "s",
    notes: [{ line: 1, text: "n" }],
    hosts: { r: "0x1000" },
    mappings: [
      { asId: 0, flags: 0, gpa: "0x0", size: "0x1000", block: "r", off: "0x0", slot: 1 },
      { asId: 1, flags: 0, gpa: "0x800", size: "0x10", mmio: "d", off: "0x0" },
    ],
  }),
  "[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable\n" +
    "[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] reserved\n",
  "efi: mem00: type=7, attr=0xf, range=[0x0000000000000000-0x00000000000a0000) (0MB)\n" +
    "efi: mem01: [Conventional Memory|   |  |  |WB|WT|WC|UC] range=[0x0000000000100000-0x00000000bfffffff] (0MB)\n",
  "/sys/firmware/memmap/0/start:0x0\n/sys/firmware/memmap/0/end:0x9fbff\n/sys/firmware/memmap/0/type:System RAM\n",
  "Type       Start            End              # Pages          Attributes\n" +
    "Available  0000000000001000-000000000009FFFF 000000000000009F 000000000000000F\n",
  "7 ioctl(9, KVM_SET_USER_MEMORY_REGION2, {slot=1, flags=KVM_MEM_GUEST_MEMFD, guest_phys_addr=0, memory_size=4096, " +
    "userspace_addr=0x1000, guest_memfd_offset=0, guest_memfd=3} <unfinished ...>\n7 <... ioctl resumed>) = 0\n",
];

export const CORPUS: readonly string[] = [
  ...texts("formats"),
  ...texts("flatview"),
  ...texts("qemu"),
  ...dumps(),
  ...WRITTEN,
].map((text) =>
  text.length <= CHARACTERS_MAX ? text : text.slice(0, text.lastIndexOf("\n", CHARACTERS_MAX) + 1),
);

/** What stands in for a word: limits of types, what the forms mean something by, what a terminal or a page obeys. */
const WORDS = [
  "",
  "0",
  "-1",
  "1",
  "ffffffffffffffff",
  "0xffffffffffffffff",
  "0x10000000000000000",
  "0000000000000000",
  "8000000000000000",
  "0x1fffffffffffff",
  "0x20000000000000",
  "9007199254740993",
  "1e400",
  "NaN",
  "null",
  "true",
  "{}",
  "[]",
  '""',
  "__proto__",
  "constructor",
  "toString",
  "host",
  "\0host",
  "alias",
  "@0000000000000000",
  "@ffffffffffffffff",
  "[disabled]",
  "owner:{",
  "owner:{obj path=/x}",
  "KVM",
  "i/o",
  "ram",
  "romd",
  "container",
  "(prio -2147483648, ram):",
  "slot=0",
  "ret=-1",
  "= -1 EINVAL (Invalid argument)",
  "\x1b[2J",
  "\x1b]0;title\x07",
  "\u202e",
  "\u2028",
  "\r",
  "\b\b\b",
  "\u00a0",
  "\ud800",
  "<script>",
  "]]>",
  "&",
  "a".repeat(5000),
  "(".repeat(300),
  "[".repeat(3000),
  " ".repeat(3000),
];

const word = fc.constantFrom(...WORDS);
const at = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** A change of a text; `at` is a place as a share of its lines, or of the words of a line. */
const mutation = fc.oneof(
  fc.record({ kind: fc.constant("word" as const), at, in: at, word }),
  fc.record({ kind: fc.constant("insert" as const), at, in: at, word }),
  fc.record({ kind: fc.constant("drop" as const), at, count: fc.integer({ min: 1, max: 8 }) }),
  fc.record({ kind: fc.constant("double" as const), at, count: fc.integer({ min: 1, max: 64 }) }),
  fc.record({ kind: fc.constant("move" as const), at, in: at }),
  fc.record({ kind: fc.constant("cut" as const), at }),
  fc.record({ kind: fc.constant("other" as const), at, text: fc.nat(CORPUS.length - 1) }),
  fc.record({
    kind: fc.constant("character" as const),
    at,
    in: at,
    word: fc.string({ unit: "binary", minLength: 1, maxLength: 3 }),
  }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

const place = (share: number, length: number) => Math.floor(share * length);

function mutate(text: string, change: Mutation): string {
  if (change.kind === "cut") return text.slice(0, place(change.at, text.length));
  const lines = text.split("\n");
  const line = place(change.at, lines.length);
  switch (change.kind) {
    case "drop":
      lines.splice(line, change.count);
      break;
    case "double":
      lines.splice(line, 0, ...new Array<string>(change.count).fill(lines[line]!));
      break;
    case "move":
      lines.splice(place(change.in, lines.length), 0, ...lines.splice(line, 1));
      break;
    case "other":
      lines.splice(line, 0, ...CORPUS[change.text]!.split("\n").slice(0, 20));
      break;
    default: {
      const words = lines[line]!.split(change.kind === "character" ? "" : /\b/);
      words.splice(place(change.in, words.length), change.kind === "insert" ? 0 : 1, change.word);
      lines[line] = words.join("");
    }
  }
  return lines.join("\n");
}

/** A text that one of the readers may know. */
export const hostileText: fc.Arbitrary<string> = fc
  .tuple(fc.nat(CORPUS.length - 1), fc.array(mutation, { maxLength: 12 }))
  .map(([text, changes]) => changes.reduce(mutate, CORPUS[text]!));

/** Bytes of a flattened devicetree, with words exchanged. */
export function hostileBytes(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const words = Math.floor(bytes.length / 4);
  const value = fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 4, 9, 0xffffffff, 0x7fffffff, 0xd00dfeed),
    fc.nat(0xffff_ffff),
  );
  return fc
    .tuple(fc.array(fc.tuple(fc.nat(words - 1), value), { maxLength: 6 }), fc.nat(bytes.length))
    .map(([changes, length]) => {
      const copy = bytes.slice();
      for (const [index, word] of changes) new DataView(copy.buffer).setUint32(index * 4, word);
      return length % 3 === 0 ? copy.slice(0, length) : copy;
    });
}
