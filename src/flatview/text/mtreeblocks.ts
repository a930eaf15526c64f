/**
 * The RAM blocks that the lines of a dump are about, and where they are in the host: at the address that `info
 * ramblock` tells, or as the caller says, or one behind the other in order of appearance.
 *
 * Memory of one name and owner is one block. Two blocks may have one name (two VGA cards): with owners (-o) they are
 * told apart; `info ramblock` says how many there are; else they are one, which is noted where it looks wrong.
 */
import { BlockLayout } from "../../trace/blocks.js";
import type { MtreeLine } from "./mtreeline.js";
import type { TextNote } from "./mtreescan.js";
import { ParseError } from "./parseerror.js";
import { blocksNamed, type RamBlock } from "./ramblock.js";

/** Host address of a block's first byte; `known` is the one that `info ramblock` tells. */
export type HostOf = (name: string, bytes: bigint, known: number | undefined) => number;

interface Block {
  readonly name: string;
  /** Of the first line that is about it. */
  readonly line: number;
  size: bigint;
  host: number | undefined;
}

/** Collects what lines say of blocks, and then places them. */
export class MtreeBlocks {
  readonly #blocks = new Map<string, Block>();
  readonly #table: readonly RamBlock[];
  readonly #note: TextNote;

  constructor(table: readonly RamBlock[], note: TextNote) {
    this.#table = table;
    this.#note = note;
  }

  /** How many blocks may have this name, as far as the table tells. */
  count(name: string): number {
    return blocksNamed(this.#table, name).length;
  }

  /** A line is about the block `key`, which has at least these bytes. */
  add(key: string, name: string, bytes: bigint, line: number): void {
    const known = this.#blocks.get(key);
    if (known === undefined) this.#blocks.set(key, { name, line, size: bytes, host: undefined });
    else if (bytes > known.size) known.size = bytes;
  }

  /** All lines have been added. @throws ParseError naming the line of a block that has no room in the host */
  place(hostOf: HostOf | undefined): void {
    const layout = new BlockLayout();
    const used = new Map<string, number>();
    for (const [key, block] of this.#blocks) {
      const { name, line } = block;
      const known = this.#known(block, used);
      if (known?.size !== undefined && known.size > block.size) block.size = known.size;
      if (hostOf !== undefined) block.host = hostOf(name, block.size, known?.host);
      else if (known?.host !== undefined) block.host = known.host;
      else if (block.size <= BigInt(Number.MAX_SAFE_INTEGER) && layout.add(key, Number(block.size))) {
        block.host = layout.hva(key, 0);
      } else {
        const bytes = `0x${block.size.toString(16)}`;
        throw new ParseError(line, `block "${name}" of ${bytes} bytes: the host's address space is full`);
      }
    }
  }

  /** What the table tells about a block. Several of one name are taken in order. */
  #known({ name, line, size }: Block, used: Map<string, number>) {
    const candidates = blocksNamed(this.#table, name);
    const place = used.get(name) ?? 0;
    const found = candidates[place];
    if (found === undefined) return undefined;
    used.set(name, place + 1);
    if (candidates.length > 1) {
      this.#note(
        line,
        `${candidates.length} blocks of info ramblock may be "${name}": this one is taken for ${found.name}`,
      );
    }
    if (found.total < size) this.#note(line, `"${name}" is larger than ${found.name} of info ramblock`);
    const host = found.host === undefined ? undefined : Number(found.host);
    if (host !== undefined && !Number.isSafeInteger(host)) return undefined;
    return { size: found.used > size ? found.used : undefined, host };
  }

  host(key: string): number {
    return this.#blocks.get(key)!.host!;
  }

  size(key: string): bigint {
    return this.#blocks.get(key)!.size;
  }
}

/** Blocks of one name and owner are one, or the `instance`-th. */
export function blockKey({ name, owner }: Pick<MtreeLine, "name" | "owner">, instance = 0): string {
  return JSON.stringify([name, owner, instance]);
}
