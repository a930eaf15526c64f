// The memory map of a Game Boy: banked ROM under a mapper, echo RAM, 160 and 127 bytes of RAM, a boot ROM that goes.
import { guestMemory, MemslotEngine, KVM_MEM_READONLY as READONLY } from "memslots";

export const BANK_BYTES = 0x4000;
/** Host addresses. */
const VRAM = 0;
const WRAM = 0x2000;
const OAM = 0x4000;
const HRAM = 0x40a0;
const CARTRIDGE_RAM = 0x5000;
const BOOT = 0x7000;
const ROM = 0x8000;
const MAPPER = 0; // numbers of devices
const REGISTERS = 1;

/** `registers` is the device at FF00 to FF7F, and at FFFF. */
export async function createGameBoy(cartridge, bootRom, registers) {
  const host = new Uint8Array(ROM + cartridge.length);
  host.set(bootRom, BOOT);
  host.set(cartridge, ROM);
  const engine = await MemslotEngine.create({ pageShift: 8, maxSlots: 8 });
  const slot = (id, guestPhysAddr, memorySize, userspaceAddr, flags = 0) => ({
    slot: id,
    guestPhysAddr,
    memorySize,
    userspaceAddr,
    flags,
  });
  const bank = (number) => slot(1, 0x4000, BANK_BYTES, ROM + number * BANK_BYTES, READONLY);
  const commit = (list, windowChanges = []) => engine.setUserMemoryRegionList(list, { windowChanges });
  commit(
    [
      slot(0, 0, BANK_BYTES, ROM, READONLY),
      bank(1),
      slot(2, 0x8000, 0x2000, VRAM),
      slot(3, 0xc000, 0x2000, WRAM),
    ],
    [
      { gpa: 0, bytes: 0x100, hva: BOOT, readonly: true, over: true },
      { gpa: 0x100, bytes: 0x7f00, device: MAPPER, offset: 0x100 }, // gets the writes that ROM refuses
      { gpa: 0xe000, bytes: 0x1e00, mirrorOf: 0xc000 },
      { gpa: 0xfe00, bytes: 160, hva: OAM },
      { gpa: 0xff00, bytes: 0x80, device: REGISTERS },
      { gpa: 0xff80, bytes: 127, hva: HRAM },
      { gpa: 0xffff, bytes: 1, device: REGISTERS, offset: 0xff },
    ].map((add) => ({ add })),
  );
  const mapper = {
    read: () => 0xff,
    write(offset, _size, value) {
      const removed = { ...bank(1), memorySize: 0, flags: 0 };
      const ram = slot(4, 0xa000, (value & 15) === 10 ? 0x2000 : 0, CARTRIDGE_RAM);
      if (offset >= 0x2000 && offset < 0x4000) commit([removed, bank(value & 31 || 1)]);
      else if (offset < 0x2000 && ram.memorySize > 0 !== (engine.slot(4) !== undefined)) commit([ram]);
    },
  };
  const ports = {
    read: (offset, size) => registers.read(offset, size),
    write(offset, size, value) {
      // A write to FF50 takes the boot ROM away; what was under it is the cartridge.
      if (offset === 0x50 && engine.windows()[0].hva === BOOT)
        commit([], [{ remove: 0, add: { gpa: 0, bytes: 0x100, device: MAPPER } }]);
      else registers.write(offset, size, value);
    },
  };
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host, { vcpu, devices: [mapper, ports], onHole: () => 0xff });
  return { engine, vcpu, memory, host };
}
