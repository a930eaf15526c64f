/**
 * RAM blocks of a machine that is known by their names and sizes only, laid out in one host address space. A trace or a
 * dump names a host address as block and offset, because the process is gone; the engine wants a number.
 *
 * Invariants
 *  - A block starts at a multiple of BLOCK_ALIGN.
 *  - Between two blocks at least one page belongs to none, so that the end of one and the start of the next never
 *    continue each other.
 *  - All blocks end below TASK_SIZE_MAX.
 */
import { TASK_SIZE_MAX } from "../kvm/uapi.js";

/** Host address of the first block: any non-zero place does, a round one reads well in a debugger. */
const BLOCKS_START = 0x1000_0000_0000;
/** Start of a block, a multiple of 2 MiB as a VMM that wants huge pages has it. */
const BLOCK_ALIGN = 0x20_0000;
const PAGE_BYTES = 0x1000;

interface Block {
  readonly name: string;
  readonly start: number;
  readonly bytes: number;
}

export class BlockLayout {
  readonly #blocks = new Map<string, Block>();
  /** The same, ascending. */
  readonly #ascending: Block[] = [];
  #end = BLOCKS_START;

  /** Append a block. @returns false when it would not end below TASK_SIZE_MAX. */
  add(name: string, bytes: number): boolean {
    const start = Math.ceil((this.#end + PAGE_BYTES) / BLOCK_ALIGN) * BLOCK_ALIGN;
    if (start + bytes > TASK_SIZE_MAX - PAGE_BYTES) return false;
    const block = { name, start, bytes };
    this.#blocks.set(name, block);
    this.#ascending.push(block);
    this.#end = start + bytes;
    return true;
  }

  bytes(name: string): number | undefined {
    return this.#blocks.get(name)?.bytes;
  }

  /** Host address of an offset. The caller has checked name and offset. */
  hva(name: string, off: number): number {
    const block = this.#blocks.get(name);
    if (block === undefined) throw new RangeError(`no RAM block "${name}"`);
    return block.start + off;
  }

  /** The block that a host address lies in, and the offset of the address in it. */
  at(hva: number): { readonly name: string; readonly off: number } {
    const name = this.name(hva);
    return { name, off: hva - this.hva(name, 0) };
  }

  /** Name of the block that a host address lies in. */
  name(hva: number): string {
    let [low, high] = [0, this.#ascending.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ascending[middle]!.start <= hva) low = middle + 1;
      else high = middle;
    }
    const found = this.#ascending[low - 1];
    if (found !== undefined && hva < found.start + found.bytes) return found.name;
    throw new RangeError(`no RAM block at host address 0x${hva.toString(16)}`);
  }
}
