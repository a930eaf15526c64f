/**
 * A guest's bus as naive as can be: each byte of each access is looked up by itself, in lists, by the rules of the
 * documents. It shares no code with the code under test.
 */
import {
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  KVM_MEMORY_ATTRIBUTE_NR,
  KVM_MEMORY_ATTRIBUTE_NW,
  KVM_MEMORY_ATTRIBUTE_NX,
  type MmioWindow,
  type Slot,
} from "memslots";

export type BusAccess = "read" | "write" | "fetch";

/** What responds to a byte. */
export type BusByte =
  | { kind: "memory"; hva: number; page: string | undefined }
  | { kind: "device"; device: number; offset: number }
  | { kind: "no-slot" | "read-only" | "no-access" };

const FORBIDS = {
  read: KVM_MEMORY_ATTRIBUTE_NR,
  write: KVM_MEMORY_ATTRIBUTE_NW,
  fetch: KVM_MEMORY_ATTRIBUTE_NX,
};
const MIRRORS_MAX = 8;

export class BusModel {
  /** By address space. */
  readonly slots: Map<number, Slot>[] = [];
  readonly windows: MmioWindow[][] = [];
  /** By page. */
  readonly attributes = new Map<number, number>();
  /** Pages that are dirty: "slot number, page of the slot". */
  readonly dirty = new Set<string>();
  /** Set to see that the comparison notices: windows are over no slots. */
  broken = false;
  readonly #pageBytes: number;

  constructor(pageBytes: number, addressSpaces: number) {
    this.#pageBytes = pageBytes;
    for (let asId = 0; asId < addressSpaces; asId++) {
      this.slots.push(new Map());
      this.windows.push([]);
    }
  }

  at(asId: number, gpa: number, access: BusAccess, mirrors = MIRRORS_MAX): BusByte {
    const forbidden = this.attributes.get(Math.floor(gpa / this.#pageBytes)) ?? 0;
    if (forbidden & FORBIDS[access]) return { kind: "no-access" };
    const inside = (start: number, bytes: number) => gpa >= start && gpa < start + bytes;
    const slot = [...this.slots[asId]!.values()].find((each) => inside(each.guestPhysAddr, each.memorySize));
    const window = this.windows[asId]!.find((each) => inside(each.gpa, each.bytes));
    const refused = slot !== undefined && access === "write" && (slot.flags & KVM_MEM_READONLY) !== 0;
    const page = slot === undefined ? undefined : this.#pageOf(slot, gpa);
    if (window !== undefined && (slot === undefined || refused || this.#isOver(window))) {
      return this.#through(asId, window, gpa, access, page, mirrors);
    }
    if (slot === undefined) return { kind: "no-slot" };
    if (refused) return { kind: "read-only" };
    return { kind: "memory", hva: slot.userspaceAddr + (gpa - slot.guestPhysAddr), page };
  }

  #isOver(window: MmioWindow): boolean {
    return !this.broken && ("hole" in window || window.over === true);
  }

  #pageOf(slot: Slot, gpa: number): string | undefined {
    if ((slot.flags & KVM_MEM_LOG_DIRTY_PAGES) === 0) return undefined;
    return `${slot.slot} ${Math.floor((gpa - slot.guestPhysAddr) / this.#pageBytes)}`;
  }

  #through(
    asId: number,
    window: MmioWindow,
    gpa: number,
    access: BusAccess,
    page: string | undefined,
    mirrors: number,
  ): BusByte {
    const at = gpa - window.gpa;
    if ("hole" in window) return { kind: "no-slot" };
    if ("device" in window)
      return { kind: "device", device: window.device, offset: (window.offset ?? 0) + at };
    if (access === "write" && window.readonly === true) return { kind: "read-only" };
    if ("hva" in window) return { kind: "memory", hva: window.hva + at, page };
    if (mirrors === 0) return { kind: "no-slot" };
    const offset = at % (window.period ?? window.bytes);
    const { unit = 1, ways = 1 } = window.stripe ?? {};
    const original = window.mirrorOf + Math.floor(offset / unit) * unit * ways + (offset % unit);
    return this.at(window.asId ?? asId, original, access, mirrors - 1);
  }
}
