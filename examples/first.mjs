import { KVM_MEM_READONLY, MemslotEngine } from "memslots";

const engine = await MemslotEngine.create();
const HOST = 0x7000_0000; // where the host keeps guest address 0
function region(slot, guestPhysAddr, memorySize, flags = 0) {
  return { slot, flags, guestPhysAddr, memorySize, userspaceAddr: HOST + guestPhysAddr };
}
engine.setUserMemoryRegion(region(1, 0xc0000, 0x7f40000)); // all RAM from 768 KiB on is one slot

const vcpu = engine.vcpu();
vcpu.enter(); // a read section: one layout until exit

// The BIOS write-protects its own 64 KiB: delete the slot, create three. One list, one publication.
engine.setUserMemoryRegionList([
  region(1, 0, 0),
  region(1, 0xc0000, 0x30000),
  region(2, 0xf0000, 0x10000, KVM_MEM_READONLY),
  region(3, 0x100000, 0x7f00000),
]);
console.log("open section: slot", vcpu.gfnToSlot(0x123), "at", vcpu.gpaToHva(0x123456).toString(16));
vcpu.exit();
console.log("layout changed:", vcpu.enter());
console.log("next section: slot", vcpu.gfnToSlot(0x123), "at", vcpu.gpaToHva(0x123456).toString(16));
vcpu.exit();

try {
  engine.setUserMemoryRegionList([region(4, 0x8000000, 0x1000), region(5, 0x200000, 0x1000)]);
} catch (error) {
  console.log(error.message); // and slot 4 was not made either
}
