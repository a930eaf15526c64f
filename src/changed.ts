/**
 * The ranges that a commit left in the staging area, in order and without repetition.
 */
import { REGION, REGION_BYTES } from "./layout.js";

/** Guest pages of an address space. Address and size in bytes. */
export interface ChangedRange {
  /** Address space, from 0 on. */
  readonly asId: number;
  /** First guest address, a multiple of the page size. */
  readonly gpa: number;
  /** Size, a multiple of the page size, above 0. */
  readonly bytes: number;
}

/** Union of `count` ranges at word `at`: each pair of neighbours is apart. */
export function readChanged(words: Uint32Array, at: number, count: number): ChangedRange[] {
  const u64 = (i: number) => words[i + 1]! * 2 ** 32 + words[i]!;
  const ranges = Array.from({ length: count }, (_, i) => {
    const region = at + (i * REGION_BYTES) / 4;
    return {
      asId: words[region + REGION.slot / 4]!,
      gpa: u64(region + REGION.guestPhysAddr / 4),
      bytes: u64(region + REGION.memorySize / 4),
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
