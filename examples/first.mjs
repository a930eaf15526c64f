import { HVA_RO_BAD, KVM_MEM_READONLY, MemslotEngine } from "memslots";

const engine = await MemslotEngine.create();
const HOST = 0x7000_0000; // host address of guest address 0
function region(slot, start, end, flags = 0) {
  return { slot, flags, guestPhysAddr: start, memorySize: end - start, userspaceAddr: HOST + start };
}
engine.setUserMemoryRegion(region(0, 0, 0x800_0000)); // 128 MiB of RAM in one slot

const vcpu = engine.vcpu();
vcpu.enter(); // begin a read section: one layout until exit

// The firmware write-protects its 64 KiB. Delete the slot, create three: one list, one atomic change.
engine.setUserMemoryRegionList([
  region(0, 0, 0), // size 0 deletes
  region(0, 0, 0xf_0000),
  region(1, 0xf_0000, 0x10_0000, KVM_MEM_READONLY),
  region(2, 0x10_0000, 0x800_0000),
]);
console.log("this section: slot", vcpu.gfnToSlot(0xf0), "at", vcpu.gpaToHva(0xf_0010).toString(16));
vcpu.exit();

console.log("layout changed:", vcpu.enter()); // the moment to flush a TLB
console.log("next section: slot", vcpu.gfnToSlot(0xf0), "read-only:", vcpu.gpaToHva(0xf_0010) === HVA_RO_BAD);
vcpu.exit();
