/**
 * The PC recipes against the recorded boots: the register writes and BAR changes that QEMU made its updates for
 * go to our machine, and after each the slots are QEMU's, joined where they continue each other. What no cause is
 * recorded for (VGA ports, SMIs, hotplug, logging) is taken over from the recording, and then compared too.
 */
import { KVM_MEM_LOG_DIRTY_PAGES as LOG, MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FlatView } from "../../../src/flatview/flatview.js";
import { mappingOf } from "../../../src/flatview/mapping.js";
import { MemoryRegion } from "../../../src/flatview/memoryregion.js";
import { A20Gate } from "../../../src/flatview/pc/a20.js";
import { Bar } from "../../../src/flatview/pc/bar.js";
import { Pam } from "../../../src/flatview/pc/pam.js";
import { Pc } from "../../../src/flatview/pc/pc.js";
import { VgaWindow } from "../../../src/flatview/pc/vga.js";
import {
  hostOf,
  type RecordedBoot,
  RecordedSlots,
  type RecordedUpdate,
  recordedBoots,
} from "../../support/recorded.js";

const OPTIONS = { pageShift: 12, maxPhysAddrBits: 52, protectSections: false };
const VGA_DEVICE = 7;
const VAPIC = 0xc_a000;
const WINDOW = 0xa_0000;
const WINDOW_END = 0xc_0000;

function show(
  slots: readonly { guestPhysAddr: number; memorySize: number; userspaceAddr: number; flags: number }[],
) {
  return slots.map(({ guestPhysAddr, memorySize, userspaceAddr, flags }) =>
    [guestPhysAddr, memorySize, userspaceAddr]
      .map((n) => n.toString(16))
      .concat(`${flags}`)
      .join(" "),
  );
}

/** QEMU's slots, those that continue each other with equal flags as one. */
function expected(boot: RecordedBoot, recorded: RecordedSlots): string[] {
  const joined: { guestPhysAddr: number; memorySize: number; userspaceAddr: number; flags: number }[] = [];
  for (const { gpa, size, block, off, flags } of recorded.ascending()) {
    const hva = hostOf(boot, block) + off;
    const last = joined.at(-1);
    if (
      last !== undefined &&
      last.guestPhysAddr + last.memorySize === gpa &&
      last.userspaceAddr + last.memorySize === hva &&
      last.flags === flags
    ) {
      last.memorySize += size;
    } else joined.push({ guestPhysAddr: gpa, memorySize: size, userspaceAddr: hva, flags });
  }
  return show(joined);
}

/** A PC with the recorded blocks. */
class Machine {
  readonly pc: Pc;
  readonly #boot: RecordedBoot;
  readonly #vga: VgaWindow | undefined;
  readonly #blocks = new Map<string, MemoryRegion>();
  readonly #bars = new Map<string, Bar>();
  readonly #smramOffset: number;
  #open = false;
  #vapic = false;

  constructor(boot: RecordedBoot, chipset: "i440fx" | "q35") {
    this.#boot = boot;
    const region = (name: string, make: typeof MemoryRegion.ram) => {
      const made = make(name, boot.blocks.get(name)!, hostOf(boot, name));
      this.#blocks.set(name, made);
      return made;
    };
    this.pc = new Pc({
      chipset,
      ram: region("pc.ram", MemoryRegion.ram),
      bios: region("pc.bios", MemoryRegion.rom),
      optionRom: region("pc.rom", MemoryRegion.rom),
    });
    this.#smramOffset = chipset === "i440fx" ? 0x72 : 0x9d;
    const vram = region("vga.vram", MemoryRegion.ram);
    this.#bars.set("vga.vram", new Bar(this.pc.pci, vram));
    this.#vga = new VgaWindow(this.pc.pci, vram, VGA_DEVICE);
  }

  slots(): string[] {
    return show(mappingOf(FlatView.of(this.pc.system), OPTIONS).slots);
  }

  #bar(block: string): Bar {
    const known = this.#bars.get(block);
    if (known !== undefined) return known;
    const rom = MemoryRegion.rom(block, this.#boot.blocks.get(block)!, hostOf(this.#boot, block));
    this.#blocks.set(block, rom);
    const bar = new Bar(this.pc.pci, rom);
    this.#bars.set(block, bar);
    return bar;
  }

  /** Do what the cause says. */
  perform(cause: string, updates: readonly RecordedUpdate[]): void {
    // The guest has asked for its APIC option ROM to be writable, which a port does and not a register here:
    // RAM over everything, 3 pages (vapic_map_rom_writable, QEMU hw/i386/kvmvapic.c).
    if (
      !this.#vapic &&
      updates.some(({ block, gpa, size }) => block === "pc.ram" && gpa === VAPIC && size === 0x3000)
    ) {
      const ram = this.#blocks.get("pc.ram")!;
      this.pc.system.addSubregion(VAPIC, MemoryRegion.alias("kvmvapic-rom", ram, VAPIC, 0x3000), 1000);
      this.#vapic = true;
    }
    const write = /@0x(\w+) <- 0x(\w+)$/.exec(cause);
    if (write !== null) {
      const value = Number.parseInt(write[2]!, 16);
      // SeaBIOS writes four registers at once, the synthetic guest one.
      this.pc.writeConfig(Number.parseInt(write[1]!, 16), value, value > 0xff ? 4 : 1);
      return;
    }
    const bar = /pci_update_mappings_(add|del) \S+ \S+ \d,0x(\w+)\+0x\w+$/.exec(cause);
    assert.ok(bar !== null, cause);
    const { block, flags } = updates[0]!;
    if (bar[1] === "del") this.#bar(block).unmap();
    else {
      this.#bar(block).map(Number.parseInt(bar[2]!, 16));
      if (block === "vga.vram") this.#blocks.get(block)!.setLog((flags & LOG) !== 0);
    }
  }

  /** Take over what the recording has no cause for: banks, BARs, SMRAM, logs, memory that was plugged in. */
  takeOver(recorded: RecordedSlots): void {
    const slots = recorded.ascending();
    const vram = slots.filter(({ block }) => block === "vga.vram");
    const inWindow = vram.filter(({ gpa }) => gpa >= WINDOW && gpa < WINDOW_END);
    this.#vga?.setBanks(inWindow.map(({ gpa, off, size }) => ({ address: gpa, offset: off, bytes: size })));
    const bar = vram.find(
      ({ gpa, size, block }) => gpa >= WINDOW_END && size === this.#boot.blocks.get(block),
    );
    if (bar === undefined) this.#bar("vga.vram").unmap();
    else this.#bar("vga.vram").map(bar.gpa);
    const open = slots.some(
      ({ block, gpa, size }) => block === "pc.ram" && gpa <= WINDOW && gpa + size > WINDOW,
    );
    if (open !== this.#open) this.pc.writeConfig(this.#smramOffset, open ? 0x4a : 0x0a, 1);
    this.#open = open;
    for (const { block, gpa, size } of slots.filter(({ block }) => !this.#blocks.has(block))) {
      const dimm = MemoryRegion.ram(block, size, hostOf(this.#boot, block));
      this.#blocks.set(block, dimm);
      this.pc.system.addSubregion(gpa, dimm);
    }
    for (const [block, region] of this.#blocks) {
      const mapped = slots.filter((slot) => slot.block === block);
      if (mapped.length > 0) region.setLog(mapped.every(({ flags }) => (flags & LOG) !== 0));
      const dimm = region.container === this.pc.system;
      if (dimm && mapped.length === 0) {
        this.pc.system.delSubregion(region);
        this.#blocks.delete(block);
      }
    }
  }
}

let reproduced = 0;
let takenOver = 0;

for (const boot of recordedBoots()) {
  const first = boot.commits.findIndex((updates) => updates[0]!.cause !== undefined);
  // microvm has no chipset registers; the OVMF boots end before their firmware runs.
  if (first < 0) continue;
  const chipset = boot.name.includes("q35") ? "q35" : "i440fx";
  test(`${boot.name}: ${chipset} registers and BARs reproduce QEMU's layouts`, () => {
    const recorded = new RecordedSlots();
    for (const updates of boot.commits.slice(0, first)) recorded.apply(updates);
    const machine = new Machine(boot, chipset);
    assert.equal(machine.slots(), expected(boot, recorded), "before the first instruction");
    for (const updates of boot.commits.slice(first)) {
      recorded.apply(updates);
      const { cause, commit } = updates[0]!;
      if (cause === undefined) {
        machine.takeOver(recorded);
        takenOver++;
      } else {
        machine.perform(cause, updates);
        reproduced++;
      }
      assert.equal(machine.slots(), expected(boot, recorded), `commit ${commit}: ${cause}`);
    }
  });
}

test("layouts with a recorded cause are counted", () => {
  console.log(`${reproduced} layouts reproduced from their causes, ${takenOver} taken over`);
  assert.equal([reproduced, takenOver], [250, 338]);
});

function smallPc(chipset: "i440fx" | "q35" = "i440fx") {
  const ram = MemoryRegion.ram("pc.ram", 0x800_0000, 0x1_0000_0000);
  const bios = MemoryRegion.rom("pc.bios", 0x4_0000, 0x2_0000_0000);
  const optionRom = MemoryRegion.rom("pc.rom", 0x2_0000, 0x4_0000_0000);
  const pc = new Pc({ chipset, ram, bios, optionRom, holeDevice: 9 });
  new VgaWindow(pc.pci, MemoryRegion.ram("vram", 0x100_0000, 0x3_0000_0000), 5);
  return pc;
}

const at = (root: MemoryRegion, address: number) => {
  const range = FlatView.of(root).find(address);
  return range && `${range.region.name}+${(range.offset + BigInt(address) - range.start).toString(16)}`;
};

test("PAM: the two bits of each piece", () => {
  const pc = smallPc();
  const faces = [undefined, "ro", "rw", "rw"];
  for (let piece = 0; piece < 13; piece++) {
    const start = piece === 0 ? 0xf_0000 : 0xc_0000 + (piece - 1) * 0x4000;
    for (const mode of [0, 1, 2, 3, 0]) {
      pc.writeConfig(0x59 + Math.ceil(piece / 2), mode << (piece % 2 === 0 ? 4 : 0), 1);
      const range = FlatView.of(pc.system).find(start)!;
      const seen = range?.region.name === "pc.ram" ? (range.readonly ? "ro" : "rw") : undefined;
      assert.is(seen, faces[mode], `piece ${piece} mode ${mode}`);
      assert.is(at(pc.system, 0xb_ffff), "vga-lowmem+1ffff");
      assert.is(at(pc.system, 0x10_0000), "pc.ram+100000");
    }
  }
});

test("a chipset, a PAM register or the target of an alias that is not there is refused by name", () => {
  const ram = MemoryRegion.ram("pc.ram", 0x20_0000, 0);
  const known = /^RangeError: chipset must be one of i440fx, q35, not "i430"$/;
  assert.throws(
    () => new Pc({ chipset: "i430" as never, ram, bios: ram }),
    (error: unknown) => known.test(String(error)),
  );
  const pam = new Pam(MemoryRegion.container("system", 2 ** 32), ram, MemoryRegion.container("pci", 2 ** 32));
  for (const register of [-1, 7, 0.5]) {
    const message = `RangeError: register must be from 0 to 6, not ${register}`;
    assert.throws(
      () => pam.write(register, 0),
      (error: unknown) => String(error) === message,
    );
  }
  assert.throws(
    () => MemoryRegion.alias("alias", {} as never, 0, 0x1000),
    /^target must be a MemoryRegion, not \[object Object\]$/,
  );
  const container = MemoryRegion.container("container", 0x1000);
  assert.throws(() => MemoryRegion.ram(5 as never, 0x1000, 0), /^name must be a string, not 5$/);
  assert.throws(
    () => container.addSubregion(0, {} as never),
    /^child must be a MemoryRegion, not \[object Object\]$/,
  );
  assert.throws(() => container.addSubregion(0, ram, 0.5), /^priority must be an integer, not 0\.5$/);
  assert.throws(() => ram.setEnabled(1 as never), /^enabled must be a boolean, not 1$/);
  assert.equal([container.subregions.length, ram.enabled], [0, true]);
});

test("a slot of PAM memory is READONLY where that is asked for", async () => {
  const engine = await MemslotEngine.create();
  const { FlatViews, MemoryRegion: Region, Pc: Machine } = await import("memslots/flatview");
  const pc = new Machine({
    chipset: "i440fx",
    ram: Region.ram("pc.ram", 0x800_0000, 0x1_0000_0000),
    bios: Region.rom("pc.bios", 0x4_0000, 0x2_0000_0000),
  });
  pc.writeConfig(0x58, 0x1111_1100, 4);
  const views = new FlatViews(engine);
  views.set(pc.system);
  assert.is(engine.gpaToHva(0xc_0000), 0x1_000c_0000, "as behind KVM");
  views.set(pc.system, { protectSections: true });
  assert.is(engine.gpaToHva(0xc_0000), -2);
  assert.is(engine.gpaToHvaRead(0xc_0000), 0x1_000c_0000);
});

test("SMRAM: open, closed, locked, and in system management mode", () => {
  const pc = smallPc();
  const closed = "vga-lowmem+0";
  assert.equal([at(pc.system, 0xa_0000), at(pc.smm, 0xa_0000)], [closed, closed]);
  pc.writeConfig(0x72, 0x4a, 1);
  assert.equal([at(pc.system, 0xa_0000), at(pc.smm, 0xa_0000)], ["pc.ram+a0000", "pc.ram+a0000"]);
  pc.writeConfig(0x72, 0x0a, 1);
  assert.equal([at(pc.system, 0xa_0000), at(pc.smm, 0xbffff)], [closed, "pc.ram+bffff"]);
  pc.writeConfig(0x72, 0x5a, 1);
  pc.writeConfig(0x72, 0x4a, 1);
  assert.is(at(pc.system, 0xa_0000), closed, "locked");
  pc.resetSmram();
  assert.is(at(pc.smm, 0xa_0000), closed);
});

test("TSEG: the top of RAM is a hole outside of system management mode", () => {
  const pc = smallPc("q35");
  const top = 0x800_0000;
  for (const [size, mib] of [1, 2, 8, 16].entries()) {
    pc.writeConfig(0x9d, 0x0a, 1);
    pc.writeConfig(0x9e, (size << 1) | 1, 1);
    const start = top - mib * 0x10_0000;
    assert.is(at(pc.system, start), "tseg-blackhole+0");
    assert.is(at(pc.system, start - 1), `pc.ram+${(start - 1).toString(16)}`);
    assert.is(at(pc.smm, start), `pc.ram+${start.toString(16)}`);
    assert.is(at(pc.smm, top - 1), `pc.ram+${(top - 1).toString(16)}`);
  }
  pc.writeConfig(0x9e, 0x81, 1);
  assert.is(at(pc.smm, 0xfeda_0000), "pc.ram+a0000");
  assert.is(at(pc.system, 0xfeda_0000), undefined);
  // Opened while it is high, SMRAM is seen there only: the window below stays the PCI bus.
  pc.writeConfig(0x9d, 0x4a, 1);
  assert.equal([at(pc.system, 0xa_0000), at(pc.system, 0xfeda_0000)], ["vga-lowmem+0", "pc.ram+a0000"]);
});

test("a BAR maps, moves, and goes; the VGA window shows banks; the A20 gate wraps", () => {
  const pc = smallPc();
  const vram = MemoryRegion.ram("vram", 0x100_0000, 0x3_0000_0000);
  const bar = new Bar(pc.pci, vram);
  assert.throws(() => bar.map(0xe000_1000), /multiple of 16777216/);
  bar.map(0xe000_0000);
  bar.map(0xe100_0000);
  assert.equal([at(pc.system, 0xe000_0000), at(pc.system, 0xe100_0004)], [undefined, "vram+4"]);
  const vga = new VgaWindow(pc.pci, vram, 5);
  vga.setBanks([
    { address: 0xa_0000, offset: 0x1_0000, bytes: 0x8000 },
    { address: 0xa_8000, offset: 0, bytes: 0x8000 },
  ]);
  assert.equal([at(pc.system, 0xa_0000), at(pc.system, 0xa_8000)], ["vram+10000", "vram+0"]);
  assert.is(at(pc.system, 0xb_0000), "vga-lowmem+10000");
  assert.throws(
    () => vga.setBanks([{ address: 0xb_8000, offset: 0, bytes: 0x1_0000 }]),
    /must lie in the window/,
  );
  assert.is(at(pc.system, 0xa_0000), "vram+10000", "nothing has changed");
  bar.unmap();
  assert.equal([bar.address, at(pc.system, 0xe100_0004)], [undefined, undefined]);
  assert.throws(() => new Bar(pc.pci, MemoryRegion.io("odd", 3, 1)), /power of two/);
  const gate = new A20Gate(pc.system, 0x40_0000);
  assert.equal([at(gate.root, 0x10_0010), at(gate.root, 0x30_0000)], ["pc.ram+10", "pc.ram+200000"]);
  gate.setOpen(true);
  assert.equal([at(gate.root, 0x10_0010), at(gate.root, 0x30_0000)], ["pc.ram+100010", "pc.ram+300000"]);
  assert.throws(() => new A20Gate(pc.system, 0x10_0000), /multiple of 2 MiB/);
});

test.run();
