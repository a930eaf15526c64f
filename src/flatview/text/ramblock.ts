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

/** Block of pages and three numbers, behind the name. */
const BLOCK =
  / \d{1,9} [KMGT]?i?B {1,40}0x[0-9a-f]{1,16} {1,40}0x([0-9a-f]{1,16}) {1,40}0x([0-9a-f]{1,16})(?= |$)/i;
/** Host address, and whether it is read-only. */
const HOST = /^(?: {1,40}0x([0-9a-f]{1,16}))?(?: {1,40}(?:ro|rw))?$/i;

/** The head of the table. */
export function isRamBlockHead(text: string): boolean {
  return /^Block Name +PSize +Offset\b/.test(text.trimStart());
}

/** A line of the table, or undefined. */
export function ramBlockOf(text: string): RamBlock | undefined {
  const found = BLOCK.exec(` ${text}`);
  const rest = found === null ? null : HOST.exec(` ${text}`.slice(found.index + found[0].length));
  if (found === null || rest === null) return undefined;
  const [, used, total] = found;
  const host = rest[1];
  return {
    name: text.slice(0, Math.max(0, found.index - 1)).trim(),
    used: BigInt(`0x${used}`),
    total: BigInt(`0x${total}`),
    host: host === undefined ? undefined : BigInt(`0x${host}`),
  };
}

/** The blocks that a region of this name may be: the one that has it, or those of devices that end in it. */
export function blocksNamed(blocks: readonly RamBlock[], name: string): readonly RamBlock[] {
  const own = blocks.filter((block) => block.name === name);
  return own.length > 0 ? own : blocks.filter((block) => block.name.endsWith(`/${name}`));
}
