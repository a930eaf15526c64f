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
import { MemoryRegion } from "./memoryregion.js";
import { linesOf, ParseError } from "./parseerror.js";

/** Where the ranges of a text of /proc/iomem lead. */
export interface IomemOptions {
  /** Host address of a range of RAM; if not given, guest address 0 is at 0x100000000000. */
  host?: (start: bigint, bytes: bigint) => number;
  /** Number of a device; if not given, they are counted from 0 in the order of the text. */
  device?: (name: string, start: bigint) => number;
}

const LINE = /^( *)([0-9a-f]+)-([0-9a-f]+) : (.*)$/;
const RAM = /^(System RAM|Persistent Memory)/;
const HOST_BASE = 0x1000_0000_0000;

/** The machine as a tree. @throws ParseError naming the line */
export function parseIomem(text: string, options: IomemOptions = {}): MemoryRegion {
  const { host = (start: bigint) => HOST_BASE + Number(start) } = options;
  let devices = 0;
  const deviceOf = options.device ?? (() => devices++);
  const root = MemoryRegion.container("iomem", 2n ** 64n);
  /** The region of each level that is open, and where it starts. */
  const open: { region: MemoryRegion; start: bigint }[] = [{ region: root, start: 0n }];
  let known = false;
  linesOf(text).forEach((content, i) => {
    if (content === "") return;
    const found = LINE.exec(content);
    if (found === null) throw new ParseError(i + 1, `not a line of /proc/iomem: ${JSON.stringify(content)}`);
    const [, indent, first, last, name] = found as unknown[] as [string, string, string, string, string];
    const [start, size] = [BigInt(`0x${first}`), BigInt(`0x${last}`) - BigInt(`0x${first}`) + 1n];
    const level = indent.length / 2;
    if (!Number.isInteger(level) || level >= open.length) throw new ParseError(i + 1, "a level is left out");
    if (size <= 0n) throw new ParseError(i + 1, "the range ends before it starts");
    known ||= size > 1n || start > 0n;
    const outer = open[level]!;
    open.length = level + 1;
    // What lies in RAM is RAM: its lines only keep the levels.
    if (open.some(({ region }) => region.kind === "ram")) {
      open.push(outer);
      return;
    }
    if (start < outer.start) {
      throw new ParseError(i + 1, `the range starts before "${outer.region.name}", which holds it`);
    }
    const region = RAM.test(name)
      ? MemoryRegion.ram(name, size, host(start, size))
      : MemoryRegion.io(name, size, deviceOf(name, start));
    outer.region.addSubregion(start - outer.start, region);
    open.push({ region, start });
  });
  if (!known) throw new ParseError(1, "all addresses are 0: /proc/iomem tells them to root only");
  return root;
}
