/**
 * /proc/iomem of Linux: the map of a running machine as its kernel sees it.
 *
 *   00001000-0009ffff : System RAM
 *   fd000000-febfffff : PCI Bus 0000:00
 *     fd000000-fdffffff : 0000:00:02.0          two spaces per level
 *
 * What is called System RAM or Persistent Memory becomes RAM; what lies in it (Kernel code) is part of it. All else
 * becomes devices, one in another where the text nests them. Mirrors r_show (Linux kernel/resource.c).
 */
import { checkOptionNames } from "../../kvm/arguments.js";
import { MemoryRegion } from "../memoryregion.js";
import { ParseError } from "./parseerror.js";
import { pastedLines } from "./pastedlines.js";
import { PHYSICAL_HOST } from "./physical.js";

/** Where the ranges of a text of /proc/iomem lead. */
export interface IomemOptions {
  /** Host address of a range of RAM; if not given, guest address 0 is at 0x100000000000. */
  host?: ((start: bigint, bytes: bigint) => number) | undefined;
  /** Number of a device; if not given, they are counted from 0 in the order of the text. */
  device?: ((name: string, start: bigint) => number) | undefined;
}

const LINE = /^( *)([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)$/i;
const RAM = /^(System RAM|Persistent Memory)/;

/** A line of such a text. */
export function isIomem(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a terminal
  return /(?:^|[\s>|]|\x1b\[[0-9;]{0,9}[mK])[0-9a-f]{4,16}-[0-9a-f]{4,16}\s:\s\S/im.test(text);
}

/** The machine as a tree. @throws ParseError naming the line */
export function parseIomem(text: string, options: IomemOptions = {}): MemoryRegion {
  checkOptionNames<IomemOptions>(options, { host: true, device: true });
  const { host = (start: bigint) => PHYSICAL_HOST + Number(start) } = options;
  let devices = 0;
  const deviceOf = options.device ?? (() => devices++);
  const root = MemoryRegion.container("iomem", 2n ** 64n);
  /** The region of each level that is open, and where it starts. */
  const open: { region: MemoryRegion; start: bigint }[] = [{ region: root, start: 0n }];
  let known = false;
  const lines = pastedLines(text).filter((line) => line.text !== "" && !/^\s*[$#] |^```/.test(line.text));
  const margin = lines.length === 0 ? 0 : Math.min(...lines.map((line) => line.text.search(/\S/)));
  for (const { number, text: content } of lines) {
    const found = LINE.exec(content);
    if (found === null) throw new ParseError(number, `not a line of /proc/iomem: ${JSON.stringify(content)}`);
    const [, indent, first, last, name] = found as unknown[] as [string, string, string, string, string];
    const [start, size] = [BigInt(`0x${first}`), BigInt(`0x${last}`) - BigInt(`0x${first}`) + 1n];
    const level = (indent.length - margin) / 2;
    if (!Number.isInteger(level) || level >= open.length) throw new ParseError(number, "a level is left out");
    if (size <= 0n) throw new ParseError(number, "the range ends before it starts");
    known ||= size > 1n || start > 0n;
    const outer = open[level]!;
    open.length = level + 1;
    // What lies in RAM is RAM: its lines only keep the levels.
    if (open.some(({ region }) => region.kind === "ram")) {
      open.push(outer);
      continue;
    }
    if (start < outer.start) {
      throw new ParseError(number, `the range starts before "${outer.region.name}", which holds it`);
    }
    const region = RAM.test(name)
      ? MemoryRegion.ram(name, size, host(start, size))
      : MemoryRegion.io(name, size, deviceOf(name, start));
    outer.region.addSubregion(start - outer.start, region);
    open.push({ region, start });
  }
  if (!known) throw new ParseError(1, "all addresses are 0: /proc/iomem tells them to root only");
  return root;
}
