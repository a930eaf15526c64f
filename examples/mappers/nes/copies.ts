/**
 * What jsnes reads without asking the mapper, as copies that are refreshed when the layout changes: the PPU
 * has no hook for its reads, and from a board that never switches its program the CPU reads faster without
 * one. Pages that show what they showed before are left alone.
 *
 * The memory, from `base` on:
 *
 *   0         batches of translations: guest and host addresses
 *   CPU_MEM   nes.cpu.mem, 64 KiB
 *   PPU_MEM   nes.ppu.vramMem, 32 KiB
 */
import type { Vcpu } from "memslots";
import type { Nes } from "./jsnes.js";

export const CPU_SPACE = 0;
export const PPU_SPACE = 1;

const PAGE_BYTES = 0x400;
const CPU_MEM = 0x400;
const CPU_MEM_BYTES = 0x10000;
const PPU_MEM = CPU_MEM + CPU_MEM_BYTES;
const PPU_MEM_BYTES = 0x8000;
export const COPIES_BYTES = PPU_MEM + PPU_MEM_BYTES;

/** Host address of a page that nothing was copied to. */
const NOTHING = 0;

/** A copied range: guest addresses of its pages, their host addresses now, and when they were copied. */
interface Copy {
  readonly space: number;
  readonly pages: Float64Array;
  readonly hosts: Float64Array;
  readonly copied: Float64Array;
  /** Where the page of guest address 0 would be. */
  readonly target: number;
}

export class Copies {
  readonly #host: Uint8Array;
  readonly #base: number;
  readonly #vcpu: Vcpu;
  readonly #program: Copy;
  readonly #patterns: Copy;
  #chosen: readonly Copy[] = [];

  /** `vcpu` translates, in address space 0 but for the moments it is lent to this. */
  constructor(host: Uint8Array, base: number, vcpu: Vcpu) {
    this.#host = host;
    this.#base = base;
    this.#vcpu = vcpu;
    this.#program = this.#range(CPU_SPACE, 0, 0x8000, 0x8000, CPU_MEM);
    this.#patterns = this.#range(PPU_SPACE, 512, 0, 0x2000, PPU_MEM);
  }

  #range(space: number, scratch: number, start: number, bytes: number, target: number): Copy {
    const count = bytes / PAGE_BYTES;
    const batch = (at: number) => new Float64Array(this.#host.buffer, this.#base + at, count);
    const pages = batch(scratch);
    for (let i = 0; i < count; i++) pages[i] = start + i * PAGE_BYTES;
    const hosts = batch(scratch + 8 * count);
    return { space, pages, hosts, copied: new Float64Array(count), target: this.#base + target };
  }

  get program(): boolean {
    return this.#chosen.includes(this.#program);
  }

  /** Copy the program, the patterns, or both. */
  choose(program: boolean, patterns: boolean): void {
    this.#chosen = [...(program ? [this.#program] : []), ...(patterns ? [this.#patterns] : [])];
  }

  /** Let a new machine read here. */
  attach({ cpu, ppu }: Nes): void {
    const { buffer } = this.#host;
    const mem = new Uint8Array(buffer, this.#base + CPU_MEM, CPU_MEM_BYTES);
    mem.set(cpu.mem);
    cpu.mem = mem;
    const vramMem = new Uint8Array(buffer, this.#base + PPU_MEM, PPU_MEM_BYTES);
    vramMem.set(ppu.vramMem);
    ppu.vramMem = vramMem;
    for (const { copied } of [this.#program, this.#patterns]) copied.fill(NOTHING);
  }

  /** Bring the copies up to date with the vCPU's layout. */
  refresh(): void {
    for (const { space, pages, hosts, copied, target } of this.#chosen) {
      this.#vcpu.asId = space;
      this.#vcpu.translate(pages, hosts, false);
      for (let i = 0; i < pages.length; i++) {
        const host = hosts[i]!;
        if (host === copied[i] || host < 0) continue;
        this.#host.copyWithin(target + pages[i]!, host, host + PAGE_BYTES);
        copied[i] = host;
      }
    }
    this.#vcpu.asId = CPU_SPACE;
  }
}
