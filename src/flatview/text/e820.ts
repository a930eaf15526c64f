/**
 * Maps of firmware as Linux tells them.
 *
 *   [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable          dmesg
 *   BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)              before Linux 3.5, the end exclusive
 *   /sys/firmware/memmap/0/start:0x0   .../0/end:0x9fbff   .../0/type:System RAM             grep . -r
 *   efi: mem00: type=7, attr=0xf, range=[0x0000000000000000-0x00000000000a0000) (0MB)     efi=debug, before 4.1
 *   efi: mem00: [Conventional Memory|   |...|WB|WT|WC|UC] range=[0x0-0x9ffff] (0MB)       efi=debug
 *   Available  0000000000001000-000000000009FFFF 000000000000009F 000000000000000F        memmap of the UEFI shell
 *
 * Mirrors e820__print_table (Linux arch/x86/kernel/e820.c), drivers/firmware/memmap.c and efi_md_typeattr_format
 * (drivers/firmware/efi/efi.c).
 */
import type { TextNote } from "./mtreescan.js";
import { ParseError } from "./parseerror.js";
import { type PastedLine, pastedLines } from "./pastedlines.js";
import type { PhysicalRange } from "./physical.js";

/** A map of a text. */
export interface PhysicalMap {
  /** Of its first range, counted from 1. */
  readonly line: number;
  /** e820, firmware memmap, EFI. */
  readonly kind: "e820" | "memmap" | "efi";
  /** In the order of the text. */
  readonly ranges: readonly PhysicalRange[];
}

/** Behind "BIOS-e820: ". */
const E820 = /^\[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\]\s+(\S.*)/i;
const OLD_E820 = /^([0-9a-f]{16}) - ([0-9a-f]{16}) \((.+)\)$/i;
const EFI_HEAD = /\bmem\d{1,9}: (?=type=|\[)/;
/** Behind that. */
const EFI_TYPE = /^(?:\[([^|\]]+)[|\]]|type=(\d+), )/;
const EFI_RANGE = /range=\[0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})([\])])/i;
const SHELL_TYPES = new Set(
  (
    "Reserved LoaderCode LoaderData BS_code BS_data RT_code RT_data Available Unusable ACPI_Recl ACPI_NVS " +
    "MMIO MMIO_Port PalCode Persistent Unaccepted"
  )
    .toLowerCase()
    .split(" "),
);
const SHELL =
  /^(\w{1,20})\s{1,40}([0-9a-f]{8,16})-([0-9a-f]{8,16})\s{1,40}[0-9a-f]{1,16}\s{1,40}[0-9a-f]{1,16}$/i;
const ENTRY = /(?:^|[/\s])(\d{1,9})\/(start|end|type)[:=\s]/;
const HEAD = /^==> (?:.*\/)?(\d+)\/(start|end|type) <==$/;
/** What Linux made of the map later on. */
const LATER = /\be820: (?:update|remove|reserve)|\b(?:modified|user|extended|reserve setup_data): \[mem/;
const E820_HEAD = "BIOS-e820: ";
/** A line that is of such a map, whatever its form. */
const MENTION = /BIOS-e820: \S|\befi: mem\d{1,9}: /;

const E820_RAM = /^(?:usable|System RAM|persistent|soft reserved|type 12|usable \(.*)/i;
const EFI_TYPES = [
  "Reserved",
  "Loader Code",
  "Loader Data",
  "Boot Code",
  "Boot Data",
  "Runtime Code",
  "Runtime Data",
  "Conventional Memory",
  "Unusable Memory",
  "ACPI Reclaim Memory",
  "ACPI Memory NVS",
  "Memory Mapped I/O",
  "MMIO Port Space",
  "PAL Code",
  "Persistent Memory",
  "Unaccepted Memory",
];
const NOT_RAM = /^(?:Reserved|Unusable|Memory Mapped|MMIO|MEM-mapped|Mem(?:ory)?[ -]?Mapped|PAL|I\/O)/i;

/** The text has a line of such a map. */
export function isPhysical(text: string): boolean {
  return /BIOS-e820:\s|\befi:\smem\d{1,9}:\s|\d\/start(?:[:=\s]| <==)/.test(text) || isShell(text);
}

function isShell(text: string): boolean {
  return /\bType[^\S\n]{1,40}Start[^\S\n]{1,40}End[^\S\n]{1,40}#[^\S\n]{0,9}Pages[^\S\n]{1,40}Attributes/i.test(
    text,
  );
}

/** The maps of a text, in the order of their first lines. @throws ParseError naming the line */
export function parsePhysical(text: string, note: TextNote = () => {}): PhysicalMap[] {
  const maps: { line: number; kind: PhysicalMap["kind"]; ranges: PhysicalRange[] }[] = [];
  const newest = new Map<PhysicalMap["kind"], (typeof maps)[number]>();
  let later: number | undefined;
  const add = (kind: PhysicalMap["kind"], range: PhysicalRange) => {
    let map = newest.get(kind);
    const last = map?.ranges.at(-1);
    // The firmware's first range is its lowest: another boot begins.
    if (
      map === undefined ||
      (last !== undefined && range.start < last.start && range.start <= map.ranges[0]!.start)
    ) {
      map = { line: range.line, kind, ranges: [] };
      newest.set(kind, map);
      maps.push(map);
    }
    if (range.size > 0n) map.ranges.push(range);
  };
  const lines = pastedLines(text);
  const shell = isShell(text);
  for (const line of lines) {
    const found = e820Of(line) ?? efiOf(line) ?? (shell ? shellOf(line) : undefined);
    if (found !== undefined) add(found.kind, found.range);
    else if (LATER.test(line.text)) later ??= line.number;
    else if (MENTION.test(line.text))
      throw new ParseError(line.number, "not as Linux prints a map of firmware");
  }
  for (const range of memmapOf(lines)) add("memmap", range);
  if (later !== undefined) note(later, "what Linux changed of the firmware's map is passed over");
  if (maps.length === 0) throw new ParseError(1, "the text has no map of firmware");
  return maps;
}

interface Found {
  readonly kind: PhysicalMap["kind"];
  readonly range: PhysicalRange;
}

/** `end` is exclusive. @throws ParseError if it is before the start */
function rangeOf(line: number, start: string, end: bigint, name: string, ram: boolean): PhysicalRange {
  const first = BigInt(`0x${start}`);
  if (end < first || end > 1n << 64n) throw new ParseError(line, "the range ends before it starts");
  return { line, start: first, size: end - first, name: name.trim(), ram };
}

function e820Of({ number, text }: PastedLine): Found | undefined {
  const at = text.indexOf(E820_HEAD);
  if (at < 0) return undefined;
  const entry = text.slice(at + E820_HEAD.length);
  const found = E820.exec(entry) ?? OLD_E820.exec(entry);
  if (found === null) return undefined;
  const [, start, last, name] = found as (string | undefined)[] as [string, string, string, string];
  const end = BigInt(`0x${last}`) + (entry.startsWith("[mem") ? 1n : 0n);
  const ram = E820_RAM.test(name);
  return { kind: "e820", range: rangeOf(number, start, end, ram ? "System RAM" : name, ram) };
}

function efiOf({ number, text }: PastedLine): Found | undefined {
  const head = EFI_HEAD.exec(text);
  if (head === null) return undefined;
  const entry = text.slice(head.index + head[0].length);
  const [, given, type] = EFI_TYPE.exec(entry) ?? [];
  const [, start, last, bracket] = EFI_RANGE.exec(entry) ?? [];
  if ((given ?? type) === undefined || start === undefined) return undefined;
  const name = given?.trim() ?? EFI_TYPES[Number(type)] ?? `type ${type}`;
  const end = BigInt(`0x${last}`) + (bracket === "]" ? 1n : 0n);
  return { kind: "efi", range: efiRange(number, start, end, name) };
}

function efiRange(line: number, start: string, end: bigint, name: string): PhysicalRange {
  const ram = !NOT_RAM.test(name) && !/^type \d+$/.test(name);
  return rangeOf(line, start, end, ram ? "System RAM" : name, ram);
}

function shellOf({ number, text }: PastedLine): Found | undefined {
  const found = SHELL.exec(text.trim());
  if (found === null || !SHELL_TYPES.has(found[1]!.toLowerCase())) return undefined;
  const [, name, start, last] = found as (string | undefined)[] as [string, string, string, string];
  return { kind: "efi", range: efiRange(number, start, BigInt(`0x${last}`) + 1n, name) };
}

/** Files of /sys/firmware/memmap, a folder for each range. @throws ParseError naming the line of one that lacks any */
function memmapOf(lines: readonly PastedLine[]): PhysicalRange[] {
  const folders = new Map<number, { line: number; start?: string; end?: string; type?: string }>();
  let head: RegExpExecArray | null = null;
  for (const { number, text } of lines) {
    const entry = head ?? ENTRY.exec(text);
    const value = head === null ? text.slice((entry?.index ?? 0) + (entry?.[0].length ?? 0)).trim() : text;
    head = head === null ? HEAD.exec(text) : null;
    if (entry === null || head !== null || value === "") continue;
    const [place, name] = [entry[1]!, entry[2] as "start" | "end" | "type"];
    const folder = folders.get(Number(place)) ?? { line: number };
    folders.set(Number(place), { ...folder, [name]: value.trim() });
  }
  const ranges = [...folders.values()].map(({ line, start, end, type }) => {
    const [from, to] = [start, end].map((text) => /^0x([0-9a-f]{1,16})$/i.exec(text ?? "")?.[1]);
    if (from === undefined || to === undefined || type === undefined) {
      throw new ParseError(line, "start, end or type of the range is missing");
    }
    const ram = E820_RAM.test(type);
    return rangeOf(line, from, BigInt(`0x${to}`) + 1n, ram ? "System RAM" : type, ram);
  });
  return ranges.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
}
