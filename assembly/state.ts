/**
 * What can be asked of an engine, and its capabilities.
 */
import { countObserver, decideDirtyRing, ownPin } from "./atomic";
import { KVM_DIRTY_LOG_INITIALLY_SET, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } from "./dirtybitmap";
import { announceRings, dirtyRingBytes } from "./dirtyring";
import { E2BIG, EINVAL, OK } from "./errno";
import { nextGfn } from "./gfnindex";
import { Header, RING_BYTES_MAX, RING_BYTES_MIN, Root } from "./layout";
import { exitSection, openSection, publishedRoot } from "./readers";
import { directoryOf, generationOf, gfnIndexOf } from "./roots";

/**
 * Publications so far, as the line's own section sees it: unpinned, the root could be rebuilt while it is
 * read.
 */
export function commitNumber(reader: usize): f64 {
  openSection(reader);
  const commit = changetype<Root>(ownPin(reader)).commit;
  exitSection(reader);
  return <f64>commit;
}

/** Generation of an address space, likewise. */
export function generation(reader: usize, asId: u32): f64 {
  openSection(reader);
  const value = generationOf(ownPin(reader), asId);
  exitSection(reader);
  return <f64>value;
}

/**
 * 1 while a replaced layout is not recycled: KVM's "update in progress" bit of the generation. It stays set
 * after a commit that did not wait for all readers, until a later one. The lock must be held.
 */
export function graceOpen(header: usize): i32 {
  const engine = changetype<Header>(header);
  return engine.oldestRoot != engine.activeRoot ? 1 : 0;
}

/** Entry of the list that the last failed commit refused, or -1. The lock must be held since. */
export function errorEntry(header: usize): i32 {
  return changetype<Header>(header).errorEntry;
}

/** Pieces that the last commit with COMMIT_CHANGED left in the staging area, or -1 if there were too many. */
export function changedCount(header: usize): i32 {
  return <i32>changetype<Header>(header).changedCount;
}

/** KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2; mirrors kvm_vm_ioctl_enable_cap_generic. */
export function setManualDirtyLog(header: usize, bits: u32): i32 {
  const allowed =
    bits & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE
      ? KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET
      : 0;
  if (bits & ~allowed) return EINVAL;
  changetype<Header>(header).manualDirtyLog = bits;
  return OK;
}

/**
 * KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL: `bytes` of entries for each vCPU, before the first of
 * them, once. Mirrors kvm_vm_ioctl_enable_dirty_log_ring.
 */
export function enableDirtyRing(header: usize, bytes: u32): i32 {
  if (bytes == 0 || bytes & (bytes - 1) || bytes < RING_BYTES_MIN) return EINVAL;
  if (bytes > RING_BYTES_MAX) return E2BIG;
  if (decideDirtyRing(header, bytes) != 0) return EINVAL;
  announceRings(header);
  return OK;
}

/**
 * KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP: what goes to no ring goes to the bitmaps. EINVAL without rings, or once
 * there are slots. Mirrors kvm_vm_ioctl_enable_cap_generic.
 */
export function enableRingBitmap(header: usize): i32 {
  const engine = changetype<Header>(header);
  if (dirtyRingBytes(header) == 0) return EINVAL;
  for (let asId: u32 = 0; asId < engine.addressSpaces; asId++) {
    if (nextGfn(directoryOf(publishedRoot(header), gfnIndexOf(asId)), 0) != 0) return EINVAL;
  }
  engine.dirtyRingBitmap = 1;
  return OK;
}

/** Count this thread among those that wait for a publication, `by` +1 or -1, so that commits wake it. */
export function observe(header: usize, by: i32): void {
  countObserver(header, by);
}
