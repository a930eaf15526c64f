/**
 * jsnes with a mapper on slots, unpatched: a subclass that hands each cartridge a mapper of ours, and whose
 * frames are read sections.
 */
import { Banks } from "./banks.js";
import { Nes, type NesOptions } from "./jsnes.js";
import { onSlots } from "./mapper.js";

export class SlotNes extends Nes {
  readonly banks: Banks;

  private constructor(banks: Banks, options: NesOptions) {
    super(options);
    this.banks = banks;
    // jsnes has the frame loop in a field.
    const { frame } = this;
    this.frame = () => banks.inSection(frame);
  }

  /** A console with `rom` (iNES) in it, powered on. @throws Error for what is no cartridge */
  static async create(rom: Uint8Array, options: NesOptions): Promise<SlotNes> {
    const nes = new SlotNes(await Banks.create(rom.length), options);
    nes.loadROM(rom);
    return nes;
  }

  /** jsnes makes the mapper anew with each reset, also when a cartridge is put in. */
  override reset(): void {
    const { rom, banks } = this;
    const create = Object.getPrototypeOf(rom).createMapper;
    rom.createMapper = () => {
      const Base = create.call(rom).constructor;
      return new (onSlots(Base))(this, banks);
    };
    super.reset();
  }
}
