// A PC whose firmware shadows itself: register writes become flat views, and those the shortest atomic lists.
import { MemslotEngine } from "memslots";
import { Bar, MemoryRegion, Pc, VgaWindow } from "memslots/flatview";

const engine = await MemslotEngine.create({ addressSpaces: 2 }); // 0: the machine, 1: system management mode
const RAM = 0x1_0000_0000; // where the host keeps it all
const BIOS = 0x2_0000_0000;
const VRAM = 0x3_0000_0000;
const VGA = 1; // the number by which all threads know the device

const pc = new Pc({
  chipset: "i440fx",
  ram: MemoryRegion.ram("ram", 0x4000_0000, RAM),
  bios: MemoryRegion.rom("bios", 0x4_0000, BIOS),
});
const vram = MemoryRegion.ram("vram", 0x100_0000, VRAM);
new VgaWindow(pc.pci, vram, VGA);
const bar = new Bar(pc.pci, vram);

engine.addListener(
  { regionAdd: ({ name, gpa }) => console.log(`  + ${name} at ${gpa.toString(16)}`) },
  { addressSpace: 0 },
);

function step(what, change) {
  console.log(what);
  engine.begin();
  change();
  const { published } = engine.commit();
  console.log(`  ${published ? "one publication" : "nothing to do"}, ${engine.slots().length} slots`);
}

step("power on", () => {
  engine.setFlatView(pc.system);
  engine.setFlatView(pc.smm, { addressSpace: 1 });
});
step("PAM: 0xC0000-0xFFFFF is RAM", () => {
  pc.writeConfig(0x58, 0x3333_3000, 4);
  pc.writeConfig(0x5c, 0x3333_3333, 4);
});
step("BAR 0 of the VGA", () => bar.map(0xfd00_0000));
step("and moved", () => bar.map(0xfe00_0000));
step("SMRAM on, for system management mode only", () => pc.writeConfig(0x72, 0x0a, 1));

const vcpu = engine.vcpu();
vcpu.enter();
const hva = vcpu.resolve(0xa_0004); // one call: host memory, or a device
console.log("the guest at 0xa0004:", hva < 0 ? `device ${vcpu.device}, register ${vcpu.offset}` : "RAM");
vcpu.exit();
vcpu.asId = 1;
console.log("in SMM at 0xa0004:", vcpu.resolve(0xa_0004) === RAM + 0xa_0004 ? "RAM" : "a device");
