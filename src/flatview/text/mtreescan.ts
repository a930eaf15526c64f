/**
 * The dumps of `info mtree` in a text, each as its sections of lines, and the tables of `info ramblock` beside them.
 *
 *   (qemu) info mtree -f        a prompt: nothing, or the end of what is before it
 *   FlatView #0                 a section of -f            | address-space: memory      of the tree
 *    AS "memory", root: system  who shows it               | memory-region: pc.ram      what an alias shows
 *     0000...                   its ranges                 | address-space (flat view): memory   of -f before 2.11
 *     Dispatch                  -d, up to an empty line: passed over
 *
 * What stands before the first section or after the last is passed over and noted; inside of a section every line is
 * understood or an error. A line that a mail program or terminal has wrapped is joined again.
 */
import { hasTail, isRange, isRangeStart, isTail, type MtreeLine, marksIn, parseRange } from "./mtreeline.js";
import { ParseError } from "./parseerror.js";
import { LINE_MAX, type PastedLine, pastedLines } from "./pastedlines.js";
import { isRamBlockHead, type RamBlock, ramBlockOf } from "./ramblock.js";

/** An address space that shows a view. */
export interface MtreeSpace {
  /** As in `AS "memory"`. */
  readonly name: string;
  /** Name of its root region. */
  readonly root: string;
  /** The region that the root is an alias of. */
  readonly alias?: string;
}

/** A view of -f, an address space of the tree, or what an alias of the tree shows. */
export interface MtreeSection {
  readonly kind: "flat" | "tree" | "region";
  /** Counted from 1. */
  readonly line: number;
  /** Blanks before its head. */
  readonly indent: number;
  /** As in `FlatView #0`; of the others their place. */
  readonly number: number;
  readonly spaces: MtreeSpace[];
  root: string | undefined;
  readonly lines: MtreeLine[];
}

/** What one command printed. */
export interface MtreeDump {
  /** Of its first line, counted from 1. */
  readonly line: number;
  readonly kind: "flat" | "tree";
  readonly sections: MtreeSection[];
  /** Of the `info ramblock` beside it. */
  blocks: readonly RamBlock[];
}

/** What is told about a line of a text that is not an error. */
export type TextNote = (line: number, text: string) => void;

const FLAT = /^FlatView #(\d+)$/;
const OLD_FLAT = /^address-space \(flat view\): (.*)$/;
const TREE = /^address-space: (.*)$/;
const REGION = /^memory-region: (.*)$/;
const ROOT = /^Root memory region: (.*)$/;
const NOTHING = /^No rendered FlatView$/;
const DISPATCH = /^Dispatch$/;
const PROMPT = /^\((?:qemu|qemu-kvm|hmp|monitor)\) ?/;
const SHELL = /^(?:[\w.@:~/[\] -]*[#$%]) \S/;
const BANNER = /^QEMU \S+ monitor - type 'help'|^```|^~~~/;
/** Something is left out: dots alone, or a word for it in brackets. */
const ELISION =
  /^[[({<\s*/-]*(?:\.{2,}|…+|⋮|:)[\])}>\s*/-]*$|\b(?:snip|snipp?ed|elided|omitted|truncated|skipped|cut)\b|--More/i;

/** AS "memory", root: system, alias x */
function spaceOf(text: string): MtreeSpace | undefined {
  const [head, middle] = ['AS "', '", root: '];
  const at = text.startsWith(head) ? text.lastIndexOf(middle) : -1;
  if (at < 0) return undefined;
  const [root, ...aliases] = text.slice(at + middle.length).split(", alias ") as [string, ...string[]];
  const name = text.slice(head.length, at);
  return { name, root, ...(aliases.length > 0 && { alias: aliases.join(", alias ") }) };
}

/** A line that has a place in a dump. */
function isKnown(text: string): boolean {
  const heads = [FLAT, OLD_FLAT, TREE, REGION, ROOT, NOTHING, DISPATCH, PROMPT, SHELL, BANNER];
  return (
    isRange(text) ||
    spaceOf(text) !== undefined ||
    heads.some((head) => head.test(text)) ||
    isRamBlockHead(text)
  );
}

/**
 * Join what was wrapped: a line that nothing begins with belongs to the range before it. A terminal breaks lines where
 * they are full, a mail program at blanks before that.
 */
function unwrapped(lines: readonly PastedLine[]): PastedLine[] {
  const width = lines.reduce((most, { text, blanks }) => Math.max(most, text.length + blanks), 0);
  const hard = isHardWrapped(lines, width);
  const joined: PastedLine[] = [];
  /** The last line of the text, which went into the last of `joined`. */
  let before: PastedLine | undefined;
  for (const line of lines) {
    const last = joined.at(-1);
    const wrap = {
      length: before?.text.length ?? 0,
      width,
      full: hard && before ? fullness(before, width) : undefined,
    };
    const whole = last === undefined ? undefined : join(last.text, line.text, wrap);
    before = line;
    if (whole === undefined) joined.push(line);
    else joined[joined.length - 1] = { ...line, number: last!.number, text: whole };
  }
  return joined;
}

/** A line of a dump goes on in one that begins nothing. */
function goesOn(before: PastedLine | undefined, { text }: PastedLine): boolean {
  const words = text.trimStart();
  const isDump =
    before !== undefined && (isRangeStart(before.text.trimStart()) || isKnown(before.text.trimStart()));
  return isDump && words !== "" && !ELISION.test(words) && !isKnown(words) && !isRangeStart(words);
}

/** Each line that goes on in the next is full, and there are several. */
function isHardWrapped(lines: readonly PastedLine[], width: number): boolean {
  const broken = lines.filter((line, i) => i + 1 < lines.length && goesOn(line, lines[i + 1]!));
  return width >= 60 && broken.length > 1 && broken.every((line) => fullness(line, width) !== undefined);
}

/** The blanks at the end of a line that is full, with one that was lost there; undefined if it is not full. */
function fullness({ text, blanks }: PastedLine, width: number): string | undefined {
  if (text.length + blanks === width) return " ".repeat(blanks);
  return text.length === width - 1 && blanks === 0 ? " " : undefined;
}

interface Wrap {
  /** Of the line before, as it stands in the text. */
  readonly length: number;
  readonly width: number;
  /** The line before was broken because it was full: what stood at its end. */
  readonly full: string | undefined;
}

function join(before: string, next: string, { length, width, full }: Wrap): string | undefined {
  const [start, text] = [before.trimStart(), next.trimStart()];
  if (before.length + next.length > LINE_MAX) return undefined;
  if (text === "" || ELISION.test(text) || isKnown(text)) return undefined;
  const range = isRangeStart(start);
  const isOpenHead = start.startsWith('AS "') && spaceOf(start) === undefined;
  if (isRangeStart(text) && (!range || isRange(start))) return undefined;
  // What names no memory may be broken anywhere.
  if (full !== undefined && (!range || !isRange(start) || /\(prio -?\d+, i\/o\): /.test(start)))
    return `${before}${full}${next}`;
  if (!range && !isOpenHead) return undefined;
  if (!isRange(start)) {
    const spaced = `${before} ${text}`;
    const fits = isOpenHead ? spaceOf(spaced.trimStart()) !== undefined : isRange(spaced.trimStart());
    // Broken at a blank, or within a word that was at the end of a full line: both can be, so that it is not joined.
    const isBetween = /[,:]$|:\{(?:dev|obj)$/.test(start);
    const isOpen = length >= width - 1 && !isOpenHead && !isBetween && isRange(`${start}${text}`);
    if (fits) return isOpen ? undefined : spaced;
    // Too little yet.
    return !isRangeStart(text) && /[(:,{\w]$/.test(start) ? spaced : undefined;
  }
  if (isTail(text)) return `${before} ${text}`;
  // Broken within a name: only where the rest shows that it is the end of a range, and the line has none of that yet.
  const isEnd = width >= 60 && !isRangeStart(text) && hasTail(text) && !hasTail(start);
  if (isEnd && full !== undefined) return `${before}${full}${next}`;
  const word = text.split(" ")[0]!;
  return isEnd && length + 1 + word.length > width ? `${before} ${text}` : undefined;
}

/** Takes lines one by one. */
class Scanner {
  readonly dumps: MtreeDump[] = [];
  readonly #note: TextNote;
  readonly #marks: ReadonlySet<string>;
  /** Where ranges go at present. */
  #section: MtreeSection | undefined;
  /** A command has been given since the last line of a dump. */
  #asked = false;
  #blank = true;
  #dispatch = false;
  #table: RamBlock[] | undefined;
  /** A table that no dump before it can have. */
  #waiting: readonly RamBlock[] = [];
  #elided: number | undefined;
  #passed: { line: number; count: number } | undefined;

  constructor(note: TextNote, marks: ReadonlySet<string>) {
    this.#note = note;
    this.#marks = marks;
  }

  take({ number, text: given }: PastedLine): void {
    const prompt = PROMPT.exec(given.trimStart());
    const text = prompt === null ? given : given.trimStart().slice(prompt[0].length);
    const words = text.trim();
    if (prompt !== null) this.#ask();
    if (words === "") this.#takeBlank();
    else if (this.#takeHead(number, text, words) || this.#dispatch) this.#blank = false;
    else if (isRangeStart(words)) this.#takeRange(number, text, words);
    else if (prompt !== null || SHELL.test(words) || BANNER.test(words)) this.#ask();
    else if (!this.#takeBlock(words)) this.#takeOther(number, words);
    if (words !== "") this.#blank = false;
  }

  end(): MtreeDump[] {
    this.#endTable();
    this.#flush();
    return this.dumps;
  }

  #ask(): void {
    this.#asked = true;
    this.#section = undefined;
    this.#dispatch = false;
    this.#endTable();
  }

  #takeBlank(): void {
    this.#blank = true;
    this.#dispatch = false;
    this.#endTable();
  }

  #takeHead(line: number, text: string, words: string): boolean {
    const indent = text.length - text.trimStart().length;
    const [flat, old, tree, region] = [FLAT, OLD_FLAT, TREE, REGION].map((head) => head.exec(words));
    if (flat) this.#open("flat", line, indent, Number(flat[1]));
    else if (old) this.#open("flat", line, indent).spaces.push({ name: old[1]!, root: old[1]! });
    else if (tree) this.#openTree(line, indent, tree[1]!);
    else if (region) this.#open("region", line, indent).root = region[1]!;
    else if (isRamBlockHead(words)) {
      this.#ask();
      this.#table = [];
    } else return this.#takeDetail(line, words);
    return true;
  }

  /** A line under the head of a view. */
  #takeDetail(line: number, words: string): boolean {
    const space = spaceOf(words);
    const root = ROOT.exec(words);
    if (space !== undefined) this.#viewAt(line).spaces.push(space);
    else if (root !== null) this.#viewAt(line).root = root[1]!;
    else if (DISPATCH.test(words) && this.#section !== undefined) {
      this.#dispatch = true;
      return true;
    } else return NOTHING.test(words);
    return true;
  }

  #open(kind: MtreeSection["kind"], line: number, indent: number, number?: number): MtreeSection {
    this.#endTable();
    this.#flush();
    this.#dispatch = false;
    const dump = this.#dumpFor(kind, line, number);
    const section = { kind, line, indent, number: number ?? dump.sections.length, spaces: [], lines: [] };
    this.#section = { ...section, root: undefined };
    dump.sections.push(this.#section);
    this.#asked = false;
    return this.#section;
  }

  /** Address spaces that show one tree stand one under the other. */
  #openTree(line: number, indent: number, name: string): void {
    const last = this.#section;
    const shares = last?.kind === "tree" && last.lines.length === 0 && !this.#blank && !this.#asked;
    const section = shares ? last : this.#open("tree", line, indent);
    section.spaces.push({ name, root: "" });
  }

  #dumpFor(kind: MtreeSection["kind"], line: number, number?: number): MtreeDump {
    const last = this.dumps.at(-1);
    const of = kind === "flat" ? "flat" : "tree";
    const before = last?.sections.at(-1);
    const goesOn =
      last?.kind === of &&
      !this.#asked &&
      (number === undefined || before === undefined || number > before.number) &&
      !(kind === "tree" && before?.kind === "region");
    if (goesOn) return last;
    const dump: MtreeDump = { line, kind: of, sections: [], blocks: this.#waiting };
    this.#waiting = [];
    this.dumps.push(dump);
    return dump;
  }

  /** The view that a line is of, whose head may have been cut off. */
  #viewAt(line: number): MtreeSection {
    if (this.#section !== undefined) return this.#section;
    if (this.dumps.length > 0) {
      throw new ParseError(line, "a line of a view that has no head: something before it is left out");
    }
    if (this.#elided !== undefined) throw new ParseError(this.#elided, "the text leaves something out here");
    this.#note(line, "the head of the view is missing: lines before it may be, too");
    return this.#open("flat", line, 0);
  }

  #takeRange(line: number, text: string, words: string): void {
    const overflow = /^\[DETECTED OVERFLOW!\] */.exec(words);
    if (overflow !== null) {
      this.#note(line, "QEMU found that the region goes beyond 2^64: it is passed over");
      return;
    }
    const section = this.#viewAt(line);
    const range = parseRange(line, text, this.#marks);
    const before = section.lines.at(-1);
    if (section.kind === "flat" && before !== undefined && before.start + before.size > range.start) {
      const end = `0x${(before.start + before.size).toString(16)}`;
      throw new ParseError(line, `the range must start behind the one before it, at ${end}`);
    }
    section.lines.push(range);
  }

  #takeBlock(words: string): boolean {
    const block = this.#table && ramBlockOf(words);
    if (block === undefined) return false;
    this.#table!.push(block);
    return true;
  }

  /** A table belongs to the dumps before it that have none, or else to the next. */
  #endTable(): void {
    const table = this.#table;
    this.#table = undefined;
    if (table === undefined || table.length === 0) return;
    const bare = this.dumps.filter(({ blocks }) => blocks.length === 0);
    for (const dump of bare) dump.blocks = table;
    if (bare.length === 0) this.#waiting = table;
  }

  #takeOther(line: number, words: string): void {
    const inside = this.#section !== undefined;
    const elided = ELISION.test(words);
    if (elided && this.dumps.length > 0) throw new ParseError(line, "the text leaves something out here");
    if (elided) this.#elided ??= line;
    if (this.#table !== undefined)
      throw new ParseError(line, `not a line of info ramblock: ${JSON.stringify(words)}`);
    if ((inside && !this.#blank) || /\(prio\b/.test(words)) {
      throw new ParseError(line, `not a range of a FlatView: ${JSON.stringify(words)}`);
    }
    this.#section = undefined;
    this.#passed ??= { line, count: 0 };
    this.#passed.count++;
  }

  #flush(): void {
    const passed = this.#passed;
    this.#passed = undefined;
    if (passed === undefined) return;
    const lines = passed.count === 1 ? "a line" : `${passed.count} lines`;
    this.#note(passed.line, `${lines} from here on: no part of a dump, passed over`);
  }
}

/** The text has a line that only a dump has. */
export function isMtree(text: string): boolean {
  return /(?:FlatView\s#\d|address-space:\s|address-space\s\(flat view\):|\(prio\s+-?\d+,)/.test(text);
}

/** The dumps of a text, in order. @throws ParseError naming the line */
export function scanMtree(text: string, note: TextNote = () => {}): MtreeDump[] {
  const lines = unwrapped(pastedLines(text));
  const scanner = new Scanner(note, marksIn(lines.map((line) => line.text.trim())));
  for (const line of lines) scanner.take(line);
  const dumps = scanner.end();
  if (dumps.length === 0) throw new ParseError(1, "the text has no FlatView and no address-space");
  return dumps;
}
