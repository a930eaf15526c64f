/**
 * The parts of jsnes that a mapper works with. Its own types stop at the console.
 */
import * as jsnes from "jsnes";

/** What of the options is used here. */
export interface NesOptions {
  /** 256 x 240 pixels, 0xBBGGRR. */
  readonly onFrame?: (picture: Uint32Array) => void;
  readonly emulateSound?: boolean;
}

/** src/mappers/mapper0.js */
export interface Mapper {
  /** A write by the CPU, not to its own RAM. */
  write(address: number, value: number): void;
  /** A read by the CPU, not of its own RAM. */
  load(address: number): number;
  /** True if reads of ROM need not ask the mapper: `cpu.mem` has what they find. */
  readsPrgFromCpuMem(): boolean;
  /** Power on with the cartridge that is plugged in. */
  loadROM(): void;
  /** Show 16 KiB bank `bank` at `address`. */
  loadRomBank(bank: number, address: number): void;
  load8kRomBank(bank: number, address: number): void;
  /** Show 4 KiB of patterns at `address` of the PPU. */
  loadVromBank(bank: number, address: number): void;
  load1kVromBank(bank: number, address: number): void;
  load2kVromBank(bank: number, address: number): void;
  /** The state beyond CPU, PPU and APU. */
  toJSON(): Record<string, unknown>;
  fromJSON(state: Record<string, unknown>): void;
}

export interface MapperClass {
  new (nes: Nes): Mapper;
  readonly mapperName: string;
}

/** src/rom.js */
export interface Rom {
  readonly mapperType: number;
  /** Banks of 16 KiB. */
  readonly romCount: number;
  readonly rom: readonly Uint8Array[];
  /** Banks of 4 KiB. */
  readonly vromCount: number;
  readonly vrom: readonly Uint8Array[];
  createMapper: () => Mapper;
}

/** src/nes.js */
export interface Nes {
  readonly cpu: {
    readonly dataBus: number;
    mem: Uint8Array;
    readonly cycles: number;
    readonly REG_ACC: number;
    readonly REG_X: number;
    readonly REG_Y: number;
    readonly REG_SP: number;
    readonly REG_PC: number;
  };
  readonly ppu: { vramMem: Uint8Array };
  readonly rom: Rom;
  readonly mmap: Mapper | null;
  frame: () => void;
  loadROM(data: Uint8Array): void;
  reset(): void;
  toJSON(): Record<string, unknown>;
  fromJSON(state: Record<string, unknown>): void;
}

/** jsnes as it is. Its declarations name files without their endings, which a module must not. */
export const { NES: Nes } = jsnes as unknown as { NES: new (options: NesOptions) => Nes };
