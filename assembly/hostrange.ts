/**
 * Writes to host memory that came by no guest address: a device's own, a file read into RAM. Every page of every
 * slot that the host range backs was written, in all address spaces.
 *
 * Mirrors kvm_handle_hva_range, with mark_page_dirty_in_slot as its handler.
 */
import { markHostPages } from "./hostmarks";
import { exitSection, openSection } from "./readers";

/**
 * Mark every page of a logged slot or window that host bytes [start, end) back, `start` below `end`, in all address
 * spaces, from one layout. Returns their number.
 */
export function markHostRange(reader: usize, start: f64, end: f64): f64 {
  openSection(reader);
  const marked = markHostPages(reader, <u64>start, <u64>end);
  exitSection(reader);
  return <f64>marked;
}
