/**
 * `info ramblock` of QEMU's monitor: the RAM blocks of a machine and, since QEMU 8, where they are in the host.
 *
 *             Block Name    PSize              Offset               Used              Total                HVA  RO
 *                 pc.ram    4 KiB  0x0000000000000000 0x0000000008000000 0x0000000008000000 0x00007f3a5fe00000  rw
 *   0000:00:02.0/vga.vram   4 KiB  0x0000000008080000 0x0000000001000000 0x0000000001000000 0x00007f3a5ee00000  rw
 *
 * A block of a device has the device's path before its name. Mirrors ram_block_format (QEMU system/physmem.c).
 */

/** A block. Bytes. */
export interface RamBlock {
  /** As the text has it, with the device's path. */
  readonly name: string;
  /** Bytes it has at present. */
  readonly used: bigint;
  /** Bytes it may grow to. */
  readonly total: bigint;
  /** Host address of the first byte, where the text tells it. */
  readonly host: bigint | undefined;
}

const NUMBER = /^0x[0-9a-f]{1,16}$/i;
/** Offset, bytes in use, bytes in all, and the host address where the text tells it. */
const NUMBERS_MIN = 3;
const NUMBERS_MAX = 4;

/** The head of the table. */
export function isRamBlockHead(text: string): boolean {
  return /^Block Name +PSize +Offset\b/.test(text.trimStart());
}

/** A line of the table, or undefined. Read from its end: names have spaces. */
export function ramBlockOf(text: string): RamBlock | undefined {
  const words = text.split(" ");
  const pop = (pattern: RegExp): string | undefined => {
    while (words.at(-1) === "") words.pop();
    return pattern.test(words.at(-1) ?? "") ? words.pop() : undefined;
  };
  pop(/^r[ow]$/i);
  const numbers: bigint[] = [];
  while (numbers.length < NUMBERS_MAX) {
    const number = pop(NUMBER);
    if (number === undefined) break;
    numbers.unshift(BigInt(number));
  }
  if (numbers.length < NUMBERS_MIN) return undefined;
  // The size of a page, as "4 KiB".
  if (pop(/^[KMGT]?i?B$/i) === undefined || pop(/^\d{1,9}$/) === undefined) return undefined;
  const [, used, total, host] = numbers;
  return { name: words.join(" ").trim(), used: used!, total: total!, host };
}

/** The blocks that a region of this name may be: the one that has it, or those of devices that end in it. */
export function blocksNamed(blocks: readonly RamBlock[], name: string): readonly RamBlock[] {
  const own = blocks.filter((block) => block.name === name);
  return own.length > 0 ? own : blocks.filter((block) => block.name.endsWith(`/${name}`));
}
