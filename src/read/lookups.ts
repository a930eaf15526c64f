/** The lookups of an engine by any thread, each in a section of its own; vCPUs have theirs in vcpu.ts. */
import type { EngineExports } from "../core/exports.js";
import { EngineFields, type Thread, threadOf } from "../core/thread.js";
import { toGpa } from "../kvm/arguments.js";
import type { Slot } from "../kvm/region.js";
import type { GuestBytePlace, MmioWindow } from "../kvm/window.js";
import type { EngineHandle } from "../runtime/handle.js";
import { type GuestRange, guestRangesOf } from "./hostranges.js";
import { locate, locatePrivate, type PrivateByte } from "./oneshot.js";
import { slotOf, slotsOf, windowsOf } from "./snapshot.js";

/** What an engine answers about its map. */
export class EngineLookups extends EngineFields {
  readonly #thread: Thread;

  protected constructor(wasm: EngineExports, handle: EngineHandle) {
    super(wasm, handle);
    this.#thread = threadOf(this);
  }

  /** Host address for a write to `gpa`, HVA_BAD in a hole, HVA_RO_BAD in a READONLY slot. Mirrors gfn_to_hva. */
  gpaToHva(gpa: number, asId = 0): number {
    return this.#thread.wasm.gpaToHva(this.#thread.reader(asId), toGpa(gpa));
  }

  /** Host address for a read of `gpa`, HVA_BAD in a hole. Mirrors gfn_to_hva_prot. */
  gpaToHvaRead(gpa: number, asId = 0): number {
    return this.#thread.wasm.gpaToHvaRead(this.#thread.reader(asId), toGpa(gpa));
  }

  /**
   * Host address for a write to or a read of `gpa`, through slots and windows, as `vcpu.resolve`; HVA_MMIO in a
   * device's window, which `locate` returns. Mirrors QEMU's address_space_translate.
   */
  resolve(gpa: number, write = true, asId = 0): number {
    return this.#thread.wasm.resolve(this.#thread.reader(asId), toGpa(gpa), write ? 1 : 0);
  }

  /**
   * The place of `gpa` for a write or a read: host memory, or a device and the byte of its registers. Undefined in a
   * hole, and for a write that host memory refuses.
   */
  locate(gpa: number, write = true, asId = 0): GuestBytePlace {
    return locate(this.#thread, gpa, write, asId);
  }

  /** KVM_MEMORY_ATTRIBUTE_* bits of guest byte `gpa`. Mirrors kvm_get_memory_attributes. */
  memoryAttributes(gpa: number): number {
    return this.#thread.wasm.attributesAt(this.#thread.reader(0), toGpa(gpa));
  }

  /**
   * The place of the private memory of guest byte `gpa`; undefined if its slot has no guest_memfd, or a closed one.
   * `memoryAttributes` says whether the guest uses private memory there. Mirrors kvm_gmem_get_pfn.
   */
  resolvePrivate(gpa: number, asId = 0): PrivateByte | undefined {
    return locatePrivate(this.#thread, gpa, asId);
  }

  /** The slot with number `slot` (address space << 16 | id), or undefined. @throws KvmError EINVAL for a bad number */
  slot(slot: number): Slot | undefined {
    return slotOf(this.#thread, slot);
  }

  /** All slots of an address space, ascending by guest address, from one layout. */
  slots(asId = 0): Slot[] {
    return slotsOf(this.#thread, asId);
  }

  /** All MMIO windows of an address space, ascending by guest address, from one layout. */
  windows(asId = 0): MmioWindow[] {
    return windowsOf(this.#thread, asId);
  }

  /**
   * Guest memory backed by host bytes [start, end), in whole pages: by address space, then host address, then slot id.
   * Host ranges may be mapped any number of times. Mirrors kvm_for_each_memslot_in_hva_range.
   * @throws TypeError naming the argument
   */
  hvaToGpas(start: number, end: number): GuestRange[] {
    return guestRangesOf(this.#thread, start, end);
  }

  /** Generation of an address space: starts at its number, advances by the number of address spaces. */
  generation(asId = 0): number {
    return this.#thread.generation(asId);
  }

  /** Publications so far, of all address spaces together. */
  get publications(): number {
    return this.#thread.publications();
  }
}
