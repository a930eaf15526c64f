/**
 * A mapper of jsnes whose bank switches are commits. jsnes keeps the registers of each board in a class of
 * its own, and each of them switches by calling one of seven functions, which copy a bank: those are
 * overridden here, for any of them.
 */
import { type Banks, CHR_BANK_BYTES, PAGE_MASK, PAGE_SHIFT, PRG_BANK_BYTES, type Shown } from "./banks.js";
import type { Mapper, MapperClass, Nes } from "./jsnes.js";

const PRG_BASE = 0x8000;

type SlotMapperClass = new (nes: Nes, banks: Banks) => Mapper;

/** One class for each of jsnes: the calls of a machine should meet as few as without us. */
const classes = new Map<MapperClass, SlotMapperClass>();

/** What is overridden below, and what switches banks outside of register writes. */
const OURS = [
  "load",
  "loadRomBank",
  "load8kRomBank",
  "loadVromBank",
  "load1kVromBank",
  "load2kVromBank",
  "latchAccess",
];

/** The subclass of a mapper whose banks are slots. @throws Error for one that does not leave banks to its base */
export function onSlots(Base: MapperClass): SlotMapperClass {
  const known = classes.get(Base);
  if (known !== undefined) return known;
  const own = ownOf(Base.prototype);
  if (own !== undefined)
    throw new Error(`${Base.mapperName} has a ${own} of its own: its banks cannot be slots`);
  const made = subclass(Base);
  classes.set(Base, made);
  return made;
}

/** A function of OURS that jsnes defines between the class and the base of all mappers. */
function ownOf(prototype: object): string | undefined {
  const above = Object.getPrototypeOf(prototype);
  if (above === Object.prototype) return undefined;
  return OURS.find((name) => Object.hasOwn(prototype, name)) ?? ownOf(above);
}

function subclass(Base: MapperClass): SlotMapperClass {
  return class extends Base {
    readonly #nes: Nes;
    readonly #banks: Banks;
    readonly #host: Uint8Array;
    readonly #entries: Int32Array;

    constructor(nes: Nes, banks: Banks) {
      super(nes);
      this.#nes = nes;
      this.#banks = banks;
      this.#host = banks.host;
      this.#entries = banks.program.entries;
      banks.attach(nes);
    }

    /** Hot: each byte of code and data that the CPU reads from ROM. */
    override load(address: number): number {
      const at = address & 0xffff;
      const entry = this.#entries[at >> PAGE_SHIFT]!;
      if (entry > 0) return this.#host[(entry - 1) | (at & PAGE_MASK)]!;
      if (at < PRG_BASE) return super.load(at);
      return this.#loadFirst(at);
    }

    /** Apart: a function that calls itself is not inlined. */
    #loadFirst(at: number): number {
      this.#banks.program.fill(at);
      const entry = this.#entries[at >> PAGE_SHIFT]!;
      // Without a bank the CPU reads what was on the bus before.
      return entry > 0 ? this.#host[(entry - 1) | (at & PAGE_MASK)]! : this.#nes.cpu.dataBus;
    }

    override readsPrgFromCpuMem(): boolean {
      return this.#banks.programIsCopied;
    }

    override write(address: number, value: number): void {
      super.write(address, value);
      this.#banks.commit();
    }

    override loadROM(): void {
      this.#banks.insert(this.#nes.rom);
      this.#banks.inSection(() => {
        super.loadROM();
        this.#banks.commit();
      });
    }

    override loadRomBank(bank: number, address: number): void {
      this.#banks.showPrg(address, PRG_BANK_BYTES, (bank % this.#nes.rom.romCount) * PRG_BANK_BYTES);
    }

    override load8kRomBank(bank8k: number, address: number): void {
      const { romCount } = this.#nes.rom;
      this.#banks.showPrg(address, PRG_BANK_BYTES / 2, (bank8k % (2 * romCount)) * (PRG_BANK_BYTES / 2));
    }

    override loadVromBank(bank: number, address: number): void {
      this.#showChr(bank, address, CHR_BANK_BYTES);
    }

    override load2kVromBank(bank2k: number, address: number): void {
      this.#showChr(bank2k, address, CHR_BANK_BYTES / 2);
    }

    override load1kVromBank(bank1k: number, address: number): void {
      this.#showChr(bank1k, address, CHR_BANK_BYTES / 4);
    }

    #showChr(bank: number, address: number, bytes: number): void {
      const { vromCount } = this.#nes.rom;
      if (vromCount === 0) return;
      this.#banks.showChr(address, bytes, (bank * bytes) % (vromCount * CHR_BANK_BYTES));
    }

    override toJSON(): Record<string, unknown> {
      return { ...super.toJSON(), shown: this.#banks.shown() };
    }

    override fromJSON(state: Record<string, unknown>): void {
      super.fromJSON(state);
      if (!Array.isArray(state.shown)) throw new TypeError("the state is of a machine without slots");
      const shown: Shown[] = state.shown;
      this.#banks.inSection(() => this.#banks.restore(shown));
    }
  };
}
