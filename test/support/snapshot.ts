/**
 * Everything that an implementation lets see of its state, for comparison before and after, or of two
 * implementations: every lookup of every page of a window in every address space, the slots, dirty bits, generations.
 */
import { KVM_CAP_MULTI_ADDRESS_SPACE, KVM_MEM_LOG_DIRTY_PAGES } from "../../src/uapi.js";
import type { Implementation, Mapping } from "./implementation.js";

/** Pages [startGfn, endGfn) and whatever further pages are of interest. */
export interface Window {
  pageShift: number;
  startGfn: number;
  endGfn: number;
  /** Look at the pages around each edge of each slot too, wherever it lies. */
  edges?: boolean;
  /** Dirty bits too. Reading them consumes them unless manual protect is enabled. */
  dirty: boolean;
}

interface AddressSpaceSnapshot {
  generation: number;
  slots: Mapping[];
  gpas: number[];
  write: number[];
  read: number[];
  slotOf: number[];
  batch: number[];
  oneShot: number[];
}

export interface Snapshot {
  publications: number;
  addressSpaces: AddressSpaceSnapshot[];
  dirty: [slot: number, bitmap: number[]][];
}

export function snapshot(vm: Implementation, window: Window): Snapshot {
  const asIds = [...Array(vm.checkExtension(KVM_CAP_MULTI_ADDRESS_SPACE)).keys()];
  const addressSpaces = asIds.map((asId) => snapshotAddressSpace(vm, asId, window));
  const logging = addressSpaces
    .flatMap(({ slots }) => slots)
    .filter((slot) => slot.flags & KVM_MEM_LOG_DIRTY_PAGES);
  return {
    publications: vm.publications,
    addressSpaces,
    dirty: window.dirty ? logging.map(({ slot }) => [slot, [...vm.getDirtyLog(slot)]]) : [],
  };
}

function snapshotAddressSpace(vm: Implementation, asId: number, window: Window): AddressSpaceSnapshot {
  const pageSize = 2 ** window.pageShift;
  const slots = vm.slots(asId);
  const gfns = gfnsOf(slots, window);
  const gpas = gfns.map((gfn) => gfn * pageSize);
  const batch = new Float64Array(gpas.length);
  const vcpu = vm.vcpu({ asId });
  vcpu.enter();
  vcpu.translate(Float64Array.from(gpas), batch);
  const write = gpas.map((gpa) => vcpu.gpaToHva(gpa));
  const read = gpas.map((gpa) => vcpu.gpaToHvaRead(gpa));
  const slotOf = gfns.map((gfn) => vcpu.gfnToSlot(gfn));
  vcpu.exit();
  vcpu.release();
  // The last byte of a page must go the same way as its first one.
  const oneShot = gpas.flatMap((gpa) => [vm.gpaToHva(gpa, asId), vm.gpaToHvaRead(gpa + pageSize - 1, asId)]);
  return { generation: vm.generation(asId), slots, gpas, write, read, slotOf, batch: [...batch], oneShot };
}

function gfnsOf(slots: Mapping[], window: Window): number[] {
  const gfns = new Set<number>();
  for (let gfn = window.startGfn; gfn < window.endGfn; gfn++) gfns.add(gfn);
  if (window.edges) {
    for (const { guestPhysAddr, memorySize } of slots) {
      const start = guestPhysAddr / 2 ** window.pageShift;
      const end = start + memorySize / 2 ** window.pageShift;
      for (const gfn of [start - 1, start, end - 1, end]) if (gfn >= 0) gfns.add(gfn);
    }
  }
  return [...gfns].sort((a, b) => a - b);
}
