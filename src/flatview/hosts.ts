/**
 * Host addresses for the memory of a machine that is known by the names of its RAM blocks only. Invariants: a
 * block starts at a multiple of 2 MiB, as a VMM that wants huge pages has it; between two blocks at least one
 * page belongs to none, so that the end of one and the start of the next never continue each other.
 */
import { TASK_SIZE_MAX } from "../uapi.js";

const HOSTS_START = 0x1000_0000_0000;
const BLOCK_ALIGN = 0x20_0000;
const GAP_BYTES = 0x1000;

/**
 * Lay out blocks of `sizes` bytes, in order.
 * @throws RangeError naming the block that does not end below TASK_SIZE_MAX
 */
export function layOutHosts(sizes: ReadonlyMap<string, bigint>): Map<string, number> {
  const hosts = new Map<string, number>();
  let end = HOSTS_START;
  for (const [name, size] of sizes) {
    const start = Math.ceil((end + GAP_BYTES) / BLOCK_ALIGN) * BLOCK_ALIGN;
    if (BigInt(start) + size > BigInt(TASK_SIZE_MAX)) {
      throw new RangeError(`block "${name}" of ${size} bytes: the host's address space is full`);
    }
    hosts.set(name, start);
    end = start + Number(size);
  }
  return hosts;
}
