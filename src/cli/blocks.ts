/**
 * RAM blocks of a recorded machine, laid out in one host address space. A trace names a host address as block
 * and offset, because the recorded process is gone; the engine wants a number. Invariants: a block starts at
 * a multiple of BLOCK_ALIGN; between two blocks at least one page belongs to none, so that the end of one and
 * the start of the next are never one contiguous translation; all end below TASK_SIZE_MAX.
 */
import { TASK_SIZE_MAX } from "../uapi.js";

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
  #end = BLOCKS_START;

  /** Append a block. @returns false when it would not end below TASK_SIZE_MAX. */
  add(name: string, bytes: number): boolean {
    const start = Math.ceil((this.#end + PAGE_BYTES) / BLOCK_ALIGN) * BLOCK_ALIGN;
    if (start + bytes > TASK_SIZE_MAX - PAGE_BYTES) return false;
    this.#blocks.set(name, { name, start, bytes });
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
    for (const { name, start, bytes } of this.#blocks.values()) {
      if (hva >= start && hva < start + bytes) return name;
    }
    throw new RangeError(`no RAM block at host address 0x${hva.toString(16)}`);
  }
}
