/**
 * One line of `info mtree` that has a range, taken apart.
 *
 *   00000000000c0000-00000000000c9fff (prio 0, rom): pc.ram @00000000000c0000 owner:{obj path=/objects/m} KVM
 *   first            last             priority kind  name   offset in it      owner (-o)                  marks
 *   00000000000c0000-00000000000c3fff (prio 1, ram): alias pam-ram @pc.ram 00000000000c0000-00000000000c3fff [disabled]
 *
 * A mark is the name of the accelerator that has a slot there: KVM, kvm, kvm:tcg, HVF, once for each address space.
 * Nothing separates it from the name of a region without offset and owner, so that a word is a mark if it is an
 * accelerator's name, or if it stands behind an offset or owner somewhere in the text.
 *
 * Mirrors mtree_print_mr, mtree_print_flatview and mtree_print_mr_owner (QEMU system/memory.c).
 */
import { ParseError } from "./parseerror.js";

/** A range of a dump. Bytes. */
export interface MtreeLine {
  /** Counted from 1. */
  readonly line: number;
  /** Blanks before it. */
  readonly indent: number;
  readonly start: bigint;
  readonly size: bigint;
  readonly priority: number;
  /** ram, ramd, rom, romd, i/o, container, or as QEMU before 2.9 has it: RW, R-, -W, --. */
  readonly kind: string;
  readonly name: string;
  /** Offset in the region; of an alias, in its target. */
  readonly offset: bigint;
  /** Of what the alias is. */
  readonly target: string | undefined;
  readonly disabled: boolean;
  /** Text of owner and parent, "" if there is none. */
  readonly owner: string;
  /** It has a slot. */
  readonly marked: boolean;
}

const HEAD =
  /^([0-9a-f]{16})-([0-9a-f]{16}) {1,40}\(prio {1,40}(-?\d{1,20}), {0,40}([^()\s]{1,40})\):(?= |$)/i;
/** Behind the name of an alias and its target. */
const PART = / ([0-9a-f]{16})-([0-9a-f]{16})(?= |$)/i;
const OFFSET = /@([0-9a-f]{16})(?= |$)/i;
const OWNER = / (?:orphan(?= |$)|(?:owner|parent):\{[^{}]*\}(?: +(?:owner|parent):\{[^{}]*\})*)/;
const DISABLED = " [disabled]";
const ACCELERATORS = /^(?:kvm|tcg|hvf|whpx|nvmm|mshv|xen|hax|qtest)(?::\w+)?$/i;
const KIND = /^(?:nv-)?(ram|ramd|rom|romd|i\/o|container)$|^([R-][W-])$/;

/** The start of a range, however much of the line follows. */
export function isRangeStart(text: string): boolean {
  return /^(?:\[DETECTED OVERFLOW!\] *)?[0-9a-f]{16}-[0-9a-f]{0,16}(?![0-9a-f])/i.test(text);
}

/** What a line has behind its kind; undefined if it has none. */
function restOf(text: string): string | undefined {
  const head = HEAD.exec(text);
  return head === null || head[0].length === text.length ? undefined : text.slice(head[0].length).trimStart();
}

interface Alias {
  readonly name: string;
  readonly target: string;
  readonly offset: string;
  readonly disabled: boolean;
  readonly owner: string;
}

/** alias NAME @TARGET 0000...-0000... [disabled] owner:{...} */
function aliasOf(text: string): Alias | undefined {
  const part = PART.exec(text);
  const at = text.indexOf(" @");
  if (!/^alias /i.test(text) || part === null || at < 0 || part.index < at + 2) return undefined;
  const tail = text.slice(part.index + part[0].length);
  const disabled = tail.trimStart().startsWith(DISABLED.trim());
  const owner = (disabled ? tail.trimStart().slice(DISABLED.trim().length) : tail).trim();
  if (owner !== "" && OWNER.exec(` ${owner}`)?.[0].length !== owner.length + 1) return undefined;
  const name = text.slice("alias".length, at).trim();
  return { name, target: text.slice(at + 2, part.index).trimEnd(), offset: part[1]!, disabled, owner };
}

interface Placed {
  readonly name: string;
  readonly offset: string;
  readonly owner: string;
  readonly words: string;
}

/** NAME @0000... owner:{...} MARKS */
function placedOf(text: string): Placed | undefined {
  const found = OFFSET.exec(text);
  if (found === null) return undefined;
  const tail = text.slice(found.index + found[0].length).trimStart();
  const owner = OWNER.exec(` ${tail}`);
  const length = owner?.index === 0 ? owner[0].length - 1 : 0;
  const name = text.slice(0, found.index).trimEnd();
  return { name, offset: found[1]!, owner: tail.slice(0, length), words: tail.slice(length).trim() };
}

/** NAME [disabled] owner:{...} MARKS */
function ownedOf(text: string): Omit<Placed, "offset"> | undefined {
  const found = OWNER.exec(` ${text}`);
  if (found === null) return undefined;
  const tail = text.slice(found.index + found[0].length - 1);
  if (tail !== "" && !tail.startsWith(" ")) return undefined;
  const name = ` ${text}`.slice(0, found.index).trim();
  return { name, owner: found[0].trim(), words: tail.trim() };
}

/** A whole range, as far as the line tells. */
export function isRange(text: string): boolean {
  const rest = restOf(text);
  // An owner that does not end is broken by a wrap.
  if (rest === undefined || rest.lastIndexOf("{") > rest.lastIndexOf("}")) return false;
  return !/^alias\b/.test(rest) || aliasOf(rest) !== undefined;
}

/** A word that may begin a line only if the line before was wrapped. */
export function isTail(text: string): boolean {
  return /^(?:@[0-9a-f]{16}\b|owner:\{|parent:\{|orphan\b|\[disabled\])/i.test(text) || isMarks(text);
}

/** What follows a name is there: an offset, an owner, or a mark. */
export function hasTail(text: string): boolean {
  return (
    / @[0-9a-f]{16}\b| (?:owner|parent):\{/i.test(text) ||
    ACCELERATORS.test(text.slice(text.lastIndexOf(" ") + 1))
  );
}

function isMarks(text: string): boolean {
  return text.split(/ +/).every((word) => ACCELERATORS.test(word));
}

/** The words that stand where only marks stand. */
export function marksIn(texts: Iterable<string>): Set<string> {
  const marks = new Set<string>();
  for (const text of texts) {
    const [, , , , kind = ""] = HEAD.exec(text) ?? [];
    const rest = restOf(text) ?? "";
    if (/i\/o|container/.test(kind) || /^alias\b/.test(rest)) continue;
    const words = placedOf(rest)?.words ?? ownedOf(rest)?.words ?? "";
    for (const word of words.split(" ")) if (word !== "") marks.add(word);
  }
  return marks;
}

interface Rest {
  name: string;
  offset: bigint;
  target: string | undefined;
  disabled: boolean;
  owner: string;
  marked: boolean;
}

/** Take a line apart. @throws ParseError naming the line */
export function parseRange(line: number, indented: string, marks: ReadonlySet<string>): MtreeLine {
  const text = indented.trimStart();
  const found = HEAD.exec(text);
  const rest = restOf(text);
  if (found === null || rest === undefined) {
    throw new ParseError(line, `not a range of a FlatView: ${JSON.stringify(text)}`);
  }
  const [, first, last, priority, given] = found;
  const kind = KIND.exec(given!);
  if (kind === null) throw new ParseError(line, `kind ${JSON.stringify(given)} is unknown`);
  const start = BigInt(`0x${first}`);
  const size = BigInt(`0x${last}`) - start + 1n;
  if (size <= 0n) throw new ParseError(line, "the range ends before it starts");
  const place = parseRest(line, rest, /^(?:i\/o|container)$/.test(kind[1] ?? "") ? undefined : marks);
  if (place.offset + size > 2n ** 64n) throw new ParseError(line, "the offset goes beyond 2^64");
  const indent = indented.length - text.length;
  return { line, indent, start, size, priority: Number(priority), kind: (kind[1] ?? kind[2])!, ...place };
}

/** `marks` is undefined where nothing can have a slot. */
function parseRest(line: number, text: string, marks: ReadonlySet<string> | undefined): Rest {
  const big = (digits: string) => BigInt(`0x${digits}`);
  if (/^alias\b/.test(text)) {
    const found = aliasOf(text);
    if (found === undefined) throw new ParseError(line, `not an alias: ${JSON.stringify(text)}`);
    return { ...found, offset: big(found.offset), marked: false };
  }
  const placed = placedOf(text);
  if (placed !== undefined) {
    const { name, offset, owner, words } = placed;
    return { name, offset: big(offset), target: undefined, disabled: false, owner, marked: words !== "" };
  }
  const owned = ownedOf(text);
  const words = (owned?.name ?? text).split(" ");
  let marked = owned !== undefined && owned.words !== "";
  const isMark = (word: string) => marks !== undefined && (ACCELERATORS.test(word) || marks.has(word));
  while (owned === undefined && words.length > 1 && isMark(words.at(-1)!)) {
    words.pop();
    marked = true;
  }
  const whole = words.join(" ").trimEnd();
  const disabled = whole.endsWith(DISABLED);
  const name = disabled ? whole.slice(0, -DISABLED.length).trimEnd() : whole;
  return { name, offset: 0n, target: undefined, disabled, owner: owned?.owner ?? "", marked };
}
