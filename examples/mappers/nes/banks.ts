/**
 * The banks of a cartridge as memory slots. Host memory holds the cartridge's ROM; address space 0 is what
 * the CPU sees, address space 1 what the PPU sees; a slot is a window into which banks are switched. To
 * switch a bank is to let its window show another part of the ROM: delete and create, in one list, so that no
 * reader finds the window empty. All that one register write switches is one list, in both address spaces.
 *
 * The windows are the slots, and not the banks, because a bank can be in two windows at once. They are
 * READONLY: what the CPU writes to them goes to the mapper's registers.
 *
 * A frame is a section, and a switch moves on to the newest layout; so does the page table of what the CPU sees. What
 * jsnes reads without asking the mapper is a copy (copies.ts).
 *
 * The memory:
 *
 *   64         the engine
 *   COPIES     what jsnes reads without asking
 *   ROM        program, then patterns, as they are in the cartridge
 */
import {
  type GuestPageTable,
  guestPageTable,
  KVM_MEM_READONLY,
  MemslotEngine,
  type RegionLike,
  type Vcpu,
} from "memslots";
import { COPIES_BYTES, Copies, CPU_SPACE, PPU_SPACE } from "./copies.js";
import type { Nes, Rom } from "./jsnes.js";

/** Bytes of the smallest window of any board: 1 KiB of patterns, in MMC3. */
export const PAGE_SHIFT = 10;
export const PAGE_MASK = 2 ** PAGE_SHIFT - 1;
const ADDRESS_BITS = 16;
const ENGINE_BASE = 64;
const COPIES = 0x20000;
const ROM = COPIES + COPIES_BYTES;
const WASM_PAGE_BYTES = 0x10000;
/** Most windows of a space: the eight of MMC3's patterns. */
const WINDOWS_MAX = 8;

const PRG_BASE = 0x8000;
const PRG_BYTES = 0x8000;
export const PRG_BANK_BYTES = 0x4000;
const CHR_BYTES = 0x2000;
export const CHR_BANK_BYTES = 0x1000;

/** Bytes of the windows of boards that do not switch 16 KiB of program and 4 KiB of patterns at a time. */
const FINE_WINDOWS: Readonly<Record<number, readonly [prg: number, chr: number]>> = { 4: [0x2000, 0x400] };

/** Boards that never switch program: NROM, CNROM. */
const FIXED_PROGRAM: readonly number[] = [0, 3];

/** A slot, as the two entries that show another bank in it. */
interface Window {
  readonly none: RegionLike;
  readonly bank: { userspaceAddr: number } & RegionLike;
  exists: boolean;
}

/** What a window shows: for save states. */
export interface Shown {
  readonly space: number;
  readonly address: number;
  readonly bytes: number;
  /** Offset in the cartridge. */
  readonly offset: number;
}

export class Banks {
  readonly engine: MemslotEngine;
  /** The memory. */
  readonly host: Uint8Array;
  /** What the CPU sees; inside sections only. Where no bank is, there is nothing else. */
  readonly program: GuestPageTable<undefined>;
  readonly #vcpu: Vcpu;
  readonly #copies: Copies;
  readonly #windows: Window[][] = [[], []];
  readonly #windowBytes = [0, 0];
  readonly #list: RegionLike[] = [];
  #prgBytes = 0;

  private constructor(engine: MemslotEngine) {
    this.engine = engine;
    this.host = new Uint8Array(engine.memory.buffer);
    this.#vcpu = engine.vcpu({ asId: CPU_SPACE });
    this.program = guestPageTable(engine, {
      vcpu: this.#vcpu,
      access: "read",
      unknown: undefined,
      answerOf: () => undefined,
    });
    this.#copies = new Copies(this.host, COPIES, this.#vcpu);
  }

  /** An engine, and room for cartridges of up to `romBytes`. */
  static async create(romBytes: number): Promise<Banks> {
    const pages = Math.ceil((ROM + romBytes) / WASM_PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const engine = await MemslotEngine.create({
      memory,
      base: ENGINE_BASE,
      size: COPIES - ENGINE_BASE,
      addressSpaces: 2,
      maxSlots: WINDOWS_MAX,
      maxVcpus: 2,
      pageShift: PAGE_SHIFT,
      maxPhysAddrBits: ADDRESS_BITS,
    });
    return new Banks(engine);
  }

  /** A new machine. */
  attach(nes: Nes): void {
    this.#copies.attach(nes);
  }

  /** True if jsnes may read the program from `nes.cpu.mem`. */
  get programIsCopied(): boolean {
    return this.#copies.program;
  }

  /** Unmap everything and put another cartridge in. @throws RangeError if it is too large */
  insert({ mapperType, romCount, rom, vromCount, vrom }: Rom): void {
    const bytes = romCount * PRG_BANK_BYTES + vromCount * CHR_BANK_BYTES;
    if (ROM + bytes > this.host.length) {
      throw new RangeError(`the cartridge must have ${this.host.length - ROM} bytes at most, not ${bytes}`);
    }
    this.engine.setUserMemoryRegionList(this.#windows.flat().flatMap((w) => (w.exists ? [w.none] : [])));
    this.#prgBytes = romCount * PRG_BANK_BYTES;
    for (const [i, bank] of rom.entries()) this.host.set(bank, ROM + i * PRG_BANK_BYTES);
    for (const [i, bank] of vrom.entries()) this.host.set(bank, ROM + this.#prgBytes + i * CHR_BANK_BYTES);
    this.#copies.choose(FIXED_PROGRAM.includes(mapperType), vromCount > 0);
    const [prg, chr] = FINE_WINDOWS[mapperType] ?? [PRG_BANK_BYTES, CHR_BANK_BYTES];
    this.#divide(CPU_SPACE, PRG_BASE, PRG_BYTES, prg);
    this.#divide(PPU_SPACE, 0, CHR_BYTES, chr);
  }

  #divide(space: number, base: number, bytes: number, windowBytes: number): void {
    this.#windowBytes[space] = windowBytes;
    this.#windows[space] = Array.from({ length: bytes / windowBytes }, (_, id) => {
      const region = {
        slot: (space << 16) | id,
        flags: KVM_MEM_READONLY,
        guestPhysAddr: base + id * windowBytes,
        memorySize: windowBytes,
        userspaceAddr: 0,
      };
      return { none: { ...region, memorySize: 0 }, bank: region, exists: false };
    });
  }

  /** Show program from byte `offset` on; takes effect with `commit`. */
  showPrg(address: number, bytes: number, offset: number): void {
    this.#show(CPU_SPACE, address - PRG_BASE, bytes, ROM + offset);
  }

  /** Show patterns from byte `offset` on. */
  showChr(address: number, bytes: number, offset: number): void {
    this.#show(PPU_SPACE, address, bytes, ROM + this.#prgBytes + offset);
  }

  #show(space: number, address: number, bytes: number, host: number): void {
    const step = this.#windowBytes[space]!;
    if (bytes % step !== 0) throw new RangeError(`a window of ${step} bytes cannot show ${bytes} bytes`);
    const windows = this.#windows[space]!;
    for (let done = 0; done < bytes; done += step) {
      const window = windows[(address + done) / step]!;
      window.bank.userspaceAddr = host + done;
      if (window.exists) this.#list.push(window.none);
      this.#list.push(window.bank);
      window.exists = true;
    }
  }

  /** All that was shown since the last time, as one change. To be called inside a section. */
  commit(): void {
    if (this.#list.length === 0) return;
    this.engine.setUserMemoryRegionList(this.#list);
    this.#list.length = 0;
    if (this.#vcpu.refresh()) this.#copies.refresh();
  }

  /** Run `work` in a section: it sees one layout, and those that it commits itself. */
  inSection(work: () => void): void {
    if (this.#vcpu.enter()) this.#copies.refresh();
    try {
      work();
    } finally {
      this.#vcpu.exit();
    }
  }

  /** What all windows show. */
  shown(): Shown[] {
    return [CPU_SPACE, PPU_SPACE].flatMap((space) =>
      this.engine.slots(space).map(({ guestPhysAddr, memorySize, userspaceAddr }) => ({
        space,
        address: guestPhysAddr,
        bytes: memorySize,
        offset: userspaceAddr - ROM,
      })),
    );
  }

  /** Show that again. */
  restore(shown: readonly Shown[]): void {
    for (const { space, address, bytes, offset } of shown) {
      this.#show(space, space === CPU_SPACE ? address - PRG_BASE : address, bytes, ROM + offset);
    }
    this.commit();
  }
}
