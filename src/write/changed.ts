/** The guest ranges that a commit has changed, read from the staging area: ascending, none adjacent to another. */
import {
  REGION_BYTES,
  REGION_GUEST_PHYS_ADDR_OFFSET,
  REGION_MEMORY_SIZE_OFFSET,
  REGION_SLOT_OFFSET,
} from "../core/layout.js";

/** Guest pages of an address space. Address and size in bytes. */
export interface ChangedRange {
  /** Address space, from 0 on. */
  readonly asId: number;
  /** First guest address, a multiple of the page size. */
  readonly gpa: number;
  /** Size, a multiple of the page size, above 0. */
  readonly bytes: number;
}

/** The union of `count` ranges at word `at`. */
export function readChanged(words: Uint32Array, at: number, count: number): ChangedRange[] {
  const u64 = (i: number) => words[i + 1]! * 2 ** 32 + words[i]!;
  const ranges = Array.from({ length: count }, (_, i) => {
    const region = at + (i * REGION_BYTES) / 4;
    return {
      asId: words[region + REGION_SLOT_OFFSET / 4]!,
      gpa: u64(region + REGION_GUEST_PHYS_ADDR_OFFSET / 4),
      bytes: u64(region + REGION_MEMORY_SIZE_OFFSET / 4),
    };
  });
  ranges.sort((a, b) => a.asId - b.asId || a.gpa - b.gpa);
  const union: ChangedRange[] = [];
  for (const range of ranges) {
    const last = union.at(-1);
    if (last === undefined || last.asId !== range.asId || last.gpa + last.bytes < range.gpa) {
      union.push(range);
    } else {
      const end = Math.max(last.gpa + last.bytes, range.gpa + range.bytes);
      union[union.length - 1] = { ...last, bytes: end - last.gpa };
    }
  }
  return union;
}
