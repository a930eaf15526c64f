/**
 * Private memory: files that slots are bound to (guest_memfd), and which guest memory is private (attributes). Three
 * sorted tables of each layout, beside its windows and by the same mechanism: staged, published with the root, retired.
 *
 * Invariants
 *  - A descriptor is never used again while a binding names it.
 *  - A binding counts if its slot is there and has KVM_MEM_GUEST_MEMFD: a deletion leaves it to the next binding.
 *  - No byte of a file is bound to two slots. Attributes do not depend on slots.
 *
 * Mirrors virt/kvm/guest_memfd.c (kvm_gmem_create, kvm_gmem_bind, kvm_gmem_get_pfn) and
 * kvm_vm_ioctl_set_mem_attributes.
 */
import { ownPin } from "./atomic";
import { findEntry } from "./directory";
import { EBADF, ENOMEM, OK } from "./errno";
import { allocHeap } from "./heap";
import { recordOf, slotKey } from "./idtable";
import {
  AttributesRequest,
  CHECK_ATTRIBUTES,
  CHECK_ATTRIBUTES_ADDRESS,
  CHECK_ATTRIBUTES_END,
  CHECK_ATTRIBUTES_FLAGS,
  CHECK_ATTRIBUTES_SIZE,
  CHECK_MEMFD,
  CHECK_MEMFD_BOUND,
  CHECK_MEMFD_END,
  CHECK_MEMFD_FLAGS,
  CHECK_MEMFD_SIZE,
  Entry,
  Header,
  MemfdRequest,
  Reader,
  Record,
  Region,
  Region2,
  TABLE_ATTRIBUTES,
  TABLE_BINDINGS,
  TABLE_MEMFDS,
  WINDOW_BYTES,
  WINDOW_TABLE_BYTES,
  Window,
  WindowTable,
} from "./layout";
import { addressBits, gfnOf, HVA_BAD } from "./lookup";
import { exitSection, openSection } from "./readers";
import { directoryOf, gfnIndexOf, rootAt } from "./roots";
import { invalid, KVM_MEM_GUEST_MEMFD, noteCheck } from "./validate";
import { dropStaged, findWindow, setStaged, stagedOf, windowAt, windowsOf } from "./windows";

/** The attributes that there are: KVM_MEMORY_ATTRIBUTE_NR, NW, NX and PRIVATE. */
const KVM_MEMORY_ATTRIBUTES: u64 = 15;
/** GUEST_MEMFD_FLAG_MMAP and GUEST_MEMFD_FLAG_INIT_SHARED: the caller supplies the bytes, so they change nothing. */
const GUEST_MEMFD_FLAGS: u64 = 3;
/** A process has 0, 1 and 2 from birth; 0 in a region that names no descriptor is none. */
const FIRST_DESCRIPTOR: u64 = 3;
/** Largest file: every byte of it is exact as a double. */
const MEMFD_BYTES_MAX: u64 = 1 << 53;

/**
 * KVM_CREATE_GUEST_MEMFD: stage a file as the struct in the staging area says. Its descriptor, or EINVAL, ENOMEM; it is
 * there after the next commit under the same lock.
 */
export function stageMemfd(header: usize): i32 {
  const engine = changetype<Header>(header);
  const request = changetype<MemfdRequest>(<usize>engine.staging);
  const pageMask: u64 = ((<u64>1) << engine.pageShift) - 1;
  const size = request.size;
  if (request.flags & ~GUEST_MEMFD_FLAGS) return invalid(header, CHECK_MEMFD_FLAGS);
  if (size == 0 || size > MEMFD_BYTES_MAX || size & pageMask) return invalid(header, CHECK_MEMFD_SIZE);
  const descriptor = freshDescriptor(header);
  const result = stageEdit(header, TABLE_MEMFDS, descriptor, descriptor + 1, true, size, <u32>descriptor);
  return result == OK ? <i32>descriptor : result;
}

/** A descriptor above all that are open or named by a binding. */
function freshDescriptor(header: usize): u64 {
  const root = publishedOf(header);
  const memfds = windowsOf(root, TABLE_MEMFDS);
  const bindings = windowsOf(root, TABLE_BINDINGS);
  let fresh = FIRST_DESCRIPTOR;
  if (countOf(memfds) != 0) fresh = changetype<Window>(windowAt(memfds, countOf(memfds) - 1)).end;
  for (let i: u32 = 0; i < countOf(bindings); i++) {
    fresh = max(fresh, <u64>changetype<Window>(windowAt(bindings, i)).device + 1);
  }
  return fresh;
}

/** Stage the end of a file: OK, EBADF, ENOMEM. Slots that are bound to it stay, without memory. */
export function stageMemfdClose(header: usize, descriptor: u32): i32 {
  if (findWindow(publishedOf(header), TABLE_MEMFDS, descriptor) == 0) return EBADF;
  return stageEdit(header, TABLE_MEMFDS, descriptor, <u64>descriptor + 1, false, 0, 0);
}

/**
 * Bind the slot that a struct kvm_userspace_memory_region2 makes, if it has KVM_MEM_GUEST_MEMFD and is no deletion:
 * OK, EBADF, EINVAL, ENOMEM.
 */
export function bindMemfd(header: usize, region: usize): i32 {
  const mem = changetype<Region>(region);
  if (!(mem.flags & KVM_MEM_GUEST_MEMFD) || mem.memorySize == 0) return OK;
  const backing = changetype<Region2>(region);
  const descriptor = backing.guestMemfd;
  const offset = backing.guestMemfdOffset;
  const memfd = findWindow(publishedOf(header), TABLE_MEMFDS, descriptor);
  if (memfd == 0) return noteCheck(header, CHECK_MEMFD, EBADF);
  if (offset + mem.memorySize > changetype<Window>(memfd).target) return invalid(header, CHECK_MEMFD_END);
  if (isBound(header, descriptor, offset, offset + mem.memorySize)) return invalid(header, CHECK_MEMFD_BOUND);
  return stageEdit(header, TABLE_BINDINGS, mem.slot, <u64>mem.slot + 1, true, offset, descriptor);
}

/** True if bytes [start, end) of a file are bound, in part, to a slot that counts. */
function isBound(header: usize, descriptor: u32, start: u64, end: u64): bool {
  const shift = <u64>changetype<Header>(header).pageShift;
  const bindings = windowsOf(publishedOf(header), TABLE_BINDINGS);
  for (let i: u32 = 0; i < countOf(bindings); i++) {
    const binding = changetype<Window>(windowAt(bindings, i));
    if (binding.device != descriptor || !counts(header, TABLE_BINDINGS, binding)) continue;
    const record = recordOf(header, slotKey(header, <u32>binding.start));
    const bytes = (<u64>changetype<Record>(record).npages) << shift;
    if (start < binding.target + bytes && binding.target < end) return true;
  }
  return false;
}

/**
 * KVM_SET_MEMORY_ATTRIBUTES: stage what the struct in the staging area says: OK, EINVAL, ENOMEM.
 */
export function stageAttributes(header: usize): i32 {
  const engine = changetype<Header>(header);
  const request = changetype<AttributesRequest>(<usize>engine.staging);
  const pageMask: u64 = ((<u64>1) << engine.pageShift) - 1;
  const address = request.address;
  const size = request.size;
  const attributes = request.attributes;
  if (request.flags != 0) return invalid(header, CHECK_ATTRIBUTES_FLAGS);
  if (attributes & ~KVM_MEMORY_ATTRIBUTES) return invalid(header, CHECK_ATTRIBUTES);
  if (address & pageMask) return invalid(header, CHECK_ATTRIBUTES_ADDRESS);
  if (size == 0 || size & pageMask) return invalid(header, CHECK_ATTRIBUTES_SIZE);
  if (address + size < address) return invalid(header, CHECK_ATTRIBUTES_END);
  return stageEdit(header, TABLE_ATTRIBUTES, address, address + size, attributes != 0, attributes, 0);
}

/**
 * Stage table `index` as it was staged before, or else as the published one, with [start, end) being `target` and
 * `device`; with `put` false, nothing. OK or ENOMEM.
 */
function stageEdit(
  header: usize,
  index: u32,
  start: u64,
  end: u64,
  put: bool,
  target: u64,
  device: u32,
): i32 {
  const staged = stagedOf(header, index);
  const old = staged != 0 ? staged : windowsOf(publishedOf(header), index);
  const count = countOf(old);
  // A window that holds [start, end) leaves a piece on either side of it.
  const table = allocHeap(header, WINDOW_TABLE_BYTES + (count + 2) * WINDOW_BYTES);
  if (table == 0) return ENOMEM;
  changetype<WindowTable>(table).count = 0;
  changetype<WindowTable>(table).marks = 0;
  changetype<WindowTable>(table).covers = 0;
  for (let i: u32 = 0; i < count; i++) {
    const window = changetype<Window>(windowAt(old, i));
    if (window.start >= start || !counts(header, index, window)) continue;
    append(table, window.start, min(window.end, start), window.target, window.device);
  }
  if (put) append(table, start, end, target, device);
  for (let i: u32 = 0; i < count; i++) {
    const window = changetype<Window>(windowAt(old, i));
    if (window.end <= end || !counts(header, index, window)) continue;
    append(table, max(window.start, end), window.end, window.target, window.device);
  }
  dropStaged(header, index);
  setStaged(header, index, table);
  return OK;
}

function publishedOf(header: usize): usize {
  return rootAt(header, changetype<Header>(header).activeRoot);
}

function countOf(table: usize): u32 {
  return table == 0 ? 0 : changetype<WindowTable>(table).count;
}

/** False for the binding of a slot that is gone, or there again without a file. */
function counts(header: usize, index: u32, window: Window): bool {
  if (index != TABLE_BINDINGS) return true;
  const record = recordOf(header, slotKey(header, <u32>window.start));
  return record != 0 && (changetype<Record>(record).flags & KVM_MEM_GUEST_MEMFD) != 0;
}

/** Add [start, end) behind the last window of a table that has room for it; one that goes on where that ends is one. */
function append(table: usize, start: u64, end: u64, target: u64, device: u32): void {
  const count = changetype<WindowTable>(table).count;
  if (count != 0) {
    const last = changetype<Window>(windowAt(table, count - 1));
    if (last.end == start && last.target == target && last.device == device) {
      last.end = end;
      return;
    }
  }
  const window = changetype<Window>(windowAt(table, count));
  window.start = start;
  window.end = end;
  window.target = target;
  window.device = device;
  window.flags = 0;
  changetype<WindowTable>(table).count = count + 1;
}

/** KVM_MEMORY_ATTRIBUTE_* bits of guest byte `gpa`. Mirrors kvm_get_memory_attributes. */
export function attributesAt(reader: usize, gpa: f64): u32 {
  openSection(reader);
  const window = findWindow(ownPin(reader), TABLE_ATTRIBUTES, gfnOf(addressBits(gpa), 0));
  const attributes = window == 0 ? 0 : <u32>changetype<Window>(window).target;
  exitSection(reader);
  return attributes;
}

/**
 * Where the private memory of guest byte `gpa` is: the byte of the file, and deviceOf its descriptor; HVA_BAD if no
 * slot is there, or one without a file, or one whose file is closed. Mirrors kvm_gmem_get_pfn.
 */
export function resolvePrivate(reader: usize, gpa: f64): f64 {
  openSection(reader);
  const at = findPrivate(changetype<Reader>(reader), ownPin(reader), gfnOf(addressBits(gpa), 0));
  exitSection(reader);
  return at;
}

/** Byte of the file that backs guest byte `byte` in the layout of `root`, and the line's device its descriptor. */
function findPrivate(line: Reader, root: usize, byte: u64): f64 {
  const shift = <u64>line.pageShift;
  const gfn = byte >> shift;
  const entry = changetype<Entry>(findEntry(directoryOf(root, gfnIndexOf(line.asId)), gfn));
  if (gfn - entry.key >= <u64>entry.npages) return HVA_BAD;
  const slot = changetype<Record>(entry.record);
  if (!(slot.flags & KVM_MEM_GUEST_MEMFD)) return HVA_BAD;
  const binding = changetype<Window>(findWindow(root, TABLE_BINDINGS, slot.slot));
  if (findWindow(root, TABLE_MEMFDS, binding.device) == 0) return HVA_BAD;
  line.device = binding.device;
  return <f64>(binding.target + (byte - (slot.baseGfn << shift)));
}
