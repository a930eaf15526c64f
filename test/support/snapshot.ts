/**
 * Snapshot: the observable state of an implementation, for comparison before and after, or of two implementations. It
 * has every lookup of every page of a window in every address space, the slots, dirty bits, generations.
 */

import type { Slot } from "../../src/kvm/region.js";
import { KVM_CAP_MULTI_ADDRESS_SPACE, KVM_MEM_LOG_DIRTY_PAGES } from "../../src/kvm/uapi.js";
import type { Implementation, Reader } from "./implementation.js";

/** Pages [startGfn, endGfn), and optionally further ones. */
export interface Window {
  pageShift: number;
  startGfn: number;
  endGfn: number;
  /** Compare the edges of this many slots too, wherever they lie: of all, or of other slots at each turn. */
  edges?: number;
  turn?: number;
  /** Dirty bits too. Reading them consumes them unless manual protect is enabled. */
  dirty: boolean;
}

/** Results of a reader's lookups, address by address. */
export interface Lookups {
  gpas: number[];
  write: number[];
  read: number[];
  slotOf: number[];
  batch: number[];
}

interface AddressSpaceSnapshot {
  generation: number;
  slots: Slot[];
  /** The same slots, asked for one by one. */
  bySlot: (Slot | undefined)[];
  lookups: Lookups;
  oneShot: number[];
}

export interface Snapshot {
  publications: number;
  addressSpaces: AddressSpaceSnapshot[];
  dirty: [slot: number, bitmap: number[]][];
}

export function snapshot(vm: Implementation, window: Window): Snapshot {
  const asIds = [...Array(vm.checkExtension(KVM_CAP_MULTI_ADDRESS_SPACE) || 1).keys()];
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

/** Every lookup of a reader in its section, at the first byte of each page. */
export function lookUp(vcpu: Reader, gfns: readonly number[], pageShift: number): Lookups {
  const gpas = gfns.map((gfn) => gfn * 2 ** pageShift);
  const batch = new Float64Array(gpas.length);
  vcpu.translate(Float64Array.from(gpas), batch);
  return {
    gpas,
    write: gpas.map((gpa) => vcpu.gpaToHva(gpa)),
    read: gpas.map((gpa) => vcpu.gpaToHvaRead(gpa)),
    slotOf: gfns.map((gfn) => vcpu.gfnToSlot(gfn)),
    batch: [...batch],
  };
}

function snapshotAddressSpace(vm: Implementation, asId: number, window: Window): AddressSpaceSnapshot {
  const slots = vm.slots(asId);
  const gfns = gfnsOf(slots, window);
  const vcpu = vm.vcpu({ asId });
  vcpu.enter();
  const lookups = lookUp(vcpu, gfns, window.pageShift);
  vcpu.exit();
  vcpu.release();
  // The last byte of a page must translate as its first one.
  const lastByte = 2 ** window.pageShift - 1;
  const oneShot = lookups.gpas.flatMap((gpa) => [
    vm.gpaToHva(gpa, asId),
    vm.gpaToHvaRead(gpa + lastByte, asId),
  ]);
  const bySlot = slots.map(({ slot }) => vm.slot(slot));
  return { generation: vm.generation(asId), slots, bySlot, lookups, oneShot };
}

/** Frames of a window, ascending, and around the edges of slots if the window has them. */
export function gfnsOf(slots: readonly Slot[], window: Window): number[] {
  const gfns = new Set<number>();
  for (let gfn = window.startGfn; gfn < window.endGfn; gfn++) gfns.add(gfn);
  if (window.edges) {
    const stride = Math.max(Math.ceil(slots.length / window.edges), 1);
    for (const { guestPhysAddr, memorySize } of slots.filter(
      (_, i) => (i + (window.turn ?? 0)) % stride === 0,
    )) {
      const start = guestPhysAddr / 2 ** window.pageShift;
      const end = start + memorySize / 2 ** window.pageShift;
      for (const gfn of [start - 1, start, end - 1, end]) if (gfn >= 0) gfns.add(gfn);
    }
  }
  return [...gfns].sort((a, b) => a - b);
}
