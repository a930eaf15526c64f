// A PC whose firmware shadows itself. Register writes change the flat views, and each change is one atomic list.
import { MemslotEngine } from "memslots";
import { Bar, FlatViews, MemoryRegion, Pc, VgaWindow } from "memslots/flatview";

const engine = await MemslotEngine.create({ addressSpaces: 2 }); // 0: the machine, 1: system management mode
const views = new FlatViews(engine);
const RAM = 0x1_0000_0000; // host addresses
const BIOS = 0x2_0000_0000;
const VRAM = 0x3_0000_0000;
const VGA = 1; // number of the device, the same in all threads

const pc = new Pc({
  chipset: "i440fx",
  ram: MemoryRegion.ram("ram", 0x4000_0000, RAM),
  bios: MemoryRegion.rom("bios", 0x4_0000, BIOS),
});
const vram = MemoryRegion.ram("vram", 0x100_0000, VRAM);
new VgaWindow(pc.pci, vram, VGA);
const bar = new Bar(pc.pci, vram);

views.addListener(
  { regionAdd: ({ name, gpa }) => console.log(`  + ${name} at ${gpa.toString(16)}`) },
  { asId: 0 },
);

function step(what, change) {
  console.log(what);
  views.begin();
  change();
  const { published } = views.commit();
  console.log(`  ${published ? "one publication" : "nothing to do"}, ${engine.slots().length} slots`);
}

step("power on", () => {
  views.set(pc.system);
  views.set(pc.smm, { asId: 1 });
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
