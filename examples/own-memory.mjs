/**
 * The engine inside the memory of an emulator. It uses [ENGINE, ENGINE + SIZE) and never touches the rest. The guest's
 * RAM lies in the same memory, and a slot maps it by its address there.
 */
import { guestMemory, KvmError, MemslotEngine } from "memslots";

const KIB = 1024;
const ENGINE = 256 * KIB;
const SIZE = 192 * KIB;
const memory = new WebAssembly.Memory({ initial: 16, maximum: 16 });
const bytes = new Uint8Array(memory.buffer).fill(0xaa);

const engine = await MemslotEngine.create({ memory, base: ENGINE, size: SIZE, maxSlots: 64, maxVcpus: 2 });
console.log(`engine in [${engine.base}, ${engine.base + SIZE}), build ${engine.capabilities.build}`);

// Guest address 0x4000_0000 is the emulator's byte 512 KiB. For `guestMemory` host address 0 is byte 0 of the memory.
const RAM = 512 * KIB;
engine.setUserMemoryRegion({
  slot: 0,
  flags: 0,
  guestPhysAddr: 0x4000_0000,
  memorySize: 512 * KIB,
  userspaceAddr: RAM,
});
const guest = guestMemory(engine, memory);
guest.setUint32(0x4000_0010, 0x12345678, true);
console.log("the emulator reads", new DataView(memory.buffer).getUint32(RAM + 0x10, true).toString(16));

// A dirty bitmap of 8 MiB does not fit, so this slot is refused.
try {
  engine.setUserMemoryRegion({
    slot: 1,
    flags: 1,
    guestPhysAddr: 2 ** 40,
    memorySize: 2 ** 38,
    userspaceAddr: 2 ** 41,
  });
} catch (error) {
  if (!(error instanceof KvmError)) throw error;
  console.log(error.message);
}

const outside = bytes.filter((byte, at) => (at < ENGINE || at >= ENGINE + SIZE) && byte !== 0xaa);
console.log("bytes outside of the engine that changed:", outside.length, "which the guest wrote");
