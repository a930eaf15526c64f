/**
 * Naive guest memory: per address space one entry for each guest page, host memories as plain byte arrays, every access
 * one byte at a time. It is the oracle of the tests of guest memory.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type Slot } from "memslots";

export interface FlatPage {
  hva: number;
  flags: number;
}

/** The kind of a byte of guest memory for an access. */
export type FlatKind = "memory" | "no-slot" | "read-only" | "no-host";

export class FlatGuest {
  /** By address space, then frame. */
  pages: Map<number, FlatPage>[] = [];
  /** Host bytes by host address. */
  host = new Map<number, number>();
  /** Dirty frames by address space. */
  dirty: Set<number>[] = [];
  readonly #pageBytes: number;
  readonly #isBacked: (hva: number) => boolean;

  constructor(addressSpaces: number, pageBytes: number, isBacked: (hva: number) => boolean) {
    this.#pageBytes = pageBytes;
    this.#isBacked = isBacked;
    for (let asId = 0; asId < addressSpaces; asId++) {
      this.pages.push(new Map());
      this.dirty.push(new Set());
    }
  }

  /** Copy the layout of an engine. */
  paint(asId: number, slots: readonly Slot[]): void {
    const pages = new Map<number, FlatPage>();
    for (const { guestPhysAddr, memorySize, userspaceAddr, flags } of slots) {
      for (let at = 0; at < memorySize; at += this.#pageBytes) {
        pages.set((guestPhysAddr + at) / this.#pageBytes, { hva: userspaceAddr + at, flags });
      }
    }
    this.pages[asId] = pages;
  }

  kind(asId: number, gpa: number, write: boolean): FlatKind {
    const page = this.pages[asId]!.get(Math.floor(gpa / this.#pageBytes));
    if (page === undefined) return "no-slot";
    if (write && page.flags & KVM_MEM_READONLY) return "read-only";
    return this.#isBacked(page.hva + (gpa % this.#pageBytes)) ? "memory" : "no-host";
  }

  #hva(asId: number, gpa: number): number {
    return this.pages[asId]!.get(Math.floor(gpa / this.#pageBytes))!.hva + (gpa % this.#pageBytes);
  }

  get(asId: number, gpa: number): number {
    return this.host.get(this.#hva(asId, gpa)) ?? 0;
  }

  set(asId: number, gpa: number, byte: number): void {
    this.host.set(this.#hva(asId, gpa), byte);
    const gfn = Math.floor(gpa / this.#pageBytes);
    if (this.pages[asId]!.get(gfn)!.flags & KVM_MEM_LOG_DIRTY_PAGES) this.dirty[asId]!.add(gfn);
  }

  /** Bytes of [gpa, gpa + bytes) before the first that is no memory. */
  reach(asId: number, gpa: number, bytes: number, write: boolean): number {
    let done = 0;
    while (done < bytes && this.kind(asId, gpa + done, write) === "memory") done++;
    return done;
  }

  /** The hole that a typed access of `bytes` bytes meets. */
  access(asId: number, gpa: number, bytes: number, write: boolean): FlatKind | "crosses" {
    const done = this.reach(asId, gpa, bytes, write);
    if (done === bytes) return "memory";
    if (done > 0 || this.kind(asId, gpa + bytes - 1, write) === "memory") return "crosses";
    return this.kind(asId, gpa, write);
  }
}
