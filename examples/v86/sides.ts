/** The same host twice: with the map of memslots, and with v86's `mmap_register` alone. */
import { V86Map } from "memslots/v86";
import type { V86, V86Options } from "v86";
import { V86_WASM } from "./machine.js";
import { MIB } from "./sizes.js";

/** Bytes of the window, a multiple of v86's granule. */
export const WINDOW_BYTES = MIB;
/** v86's map has one entry for so many bytes. */
export const GRANULE_BYTES = 0x20000;
/** Initial bytes of its memory. */
export const FILL = 0x41;

/** The PCI device whose BAR 0 is the window. */
const IDENTITY = { vendorId: 0x1af4, deviceId: 0x1110 };
export const PCI = { number: 10, bdf: 10 << 3, ...IDENTITY };
const BAR0 = 0x10;

/** A host that shows a megabyte of its memory to a guest. */
export interface Side {
  readonly memory: Uint8Array;
  /** Further options of V86. */
  readonly options: V86Options;
  /** Show the memory at `gpa`. */
  create(gpa: number, emulator: V86): void;
  /** Move the shown memory to `gpa`. */
  move(gpa: number, emulator: V86): void;
  /** Make it BAR 0 of a PCI device; a host whose guest cannot move it puts it at `gpa`. */
  offerBar(gpa: number, emulator: V86): void;
  /** Two adjacent devices of 16 bytes at `gpa`, which read as 0x11 and 0x22. */
  twoDevices(gpa: number, emulator: V86): void;
  /** A device for each of `gpas`, at most as many as there are CONSTANTS, which reads as one of those. */
  devices(gpas: readonly number[], emulator: V86): void;
  save(emulator: V86): Promise<ArrayBuffer>;
  restore(emulator: V86, state: ArrayBuffer): Promise<void>;
}

export interface MapSide extends Side {
  readonly map: V86Map;
}

function constant(value: number) {
  return { read: () => value, write: () => {} };
}

/** Devices that return a constant, each with separate code, as real devices have. */
export const CONSTANTS = [
  { read: () => 1, write: () => {} },
  { read: () => 2, write: () => {} },
  { read: () => 3, write: () => {} },
  { read: () => 4, write: () => {} },
  { read: () => 5, write: () => {} },
  { read: () => 6, write: () => {} },
  { read: () => 7, write: () => {} },
  { read: () => 8, write: () => {} },
];

export async function withMap(v86: V86Options): Promise<MapSide> {
  const memory = new Uint8Array(WINDOW_BYTES).fill(FILL);
  const map = await V86Map.create({ v86, memory });
  const show = (guestPhysAddr: number) => {
    map.apply([{ slot: 0, flags: 0, guestPhysAddr, memorySize: WINDOW_BYTES, userspaceAddr: 0 }]);
  };
  return {
    memory,
    map,
    options: { wasm_fn: map.wasmFunction(V86_WASM) },
    create: show,
    move: show,
    offerBar: () => {
      map.addPciDevice(PCI.number, {
        ...IDENTITY,
        bars: [{ size: WINDOW_BYTES, slot: 1, userspaceAddr: 0 }],
      });
    },
    twoDevices: (gpa) => {
      const devices = [map.addDevice(constant(0x11)), map.addDevice(constant(0x22))];
      const windows = devices.map((device, i) => ({ gpa: gpa + 16 * i, bytes: 16, device }));
      map.apply([], { windows });
    },
    devices: (gpas) => {
      const windows = gpas.map((gpa, i) => ({ gpa, bytes: 64, device: map.addDevice(CONSTANTS[i]!) }));
      map.apply([], { windows });
    },
    save: (emulator) => map.save(emulator),
    restore: (emulator, state) => map.restore(emulator, state),
  };
}

/** Internals of v86, by the names that its release build keeps; none is documented. */
interface Inside {
  v86: {
    cpu: {
      io: {
        mmap_register(
          addr: number,
          bytes: number,
          read8: (addr: number) => number,
          write8: (addr: number, value: number) => void,
          read32?: (addr: number) => number,
          write32?: (addr: number, value: number) => void,
        ): void;
      };
      devices: { pci: { register_device(device: object): Int32Array } };
    };
  };
}

export function inside(emulator: V86): Inside["v86"]["cpu"] {
  return (emulator as V86 & Inside).v86.cpu;
}

export function withoutMap(): Side {
  const memory = new Uint8Array(WINDOW_BYTES).fill(FILL);
  const view = new DataView(memory.buffer);
  const show = (gpa: number, emulator: V86) => {
    const at = (addr: number) => addr & (WINDOW_BYTES - 1);
    const write8 = (addr: number, value: number) => {
      memory[at(addr)] = value;
    };
    const read32 = (addr: number) => view.getInt32(at(addr), true);
    const write32 = (addr: number, value: number) => view.setInt32(at(addr), value, true);
    inside(emulator).io.mmap_register(
      gpa,
      WINDOW_BYTES,
      (addr) => memory[at(addr)]!,
      write8,
      read32,
      write32,
    );
  };
  return {
    memory,
    options: {},
    create: show,
    move: show,
    offerBar: (gpa, emulator) => {
      const space = new DataView(new ArrayBuffer(64));
      space.setUint16(0, PCI.vendorId, true);
      space.setUint16(2, PCI.deviceId, true);
      space.setUint32(BAR0, gpa, true);
      inside(emulator).devices.pci.register_device({
        name: "window",
        pci_id: PCI.bdf,
        pci_space: [...new Uint8Array(space.buffer)],
        pci_bars: [{ size: WINDOW_BYTES }],
      });
      show(gpa, emulator);
    },
    twoDevices: (gpa, emulator) => {
      for (const [i, value] of [0x11, 0x22].entries()) {
        const { read, write } = constant(value);
        inside(emulator).io.mmap_register(gpa + 16 * i, 16, read, write, read, write);
      }
    },
    devices: (gpas, emulator) => {
      for (const [i, gpa] of gpas.entries()) {
        const { read, write } = CONSTANTS[i]!;
        inside(emulator).io.mmap_register(gpa, GRANULE_BYTES, read, write, read, write);
      }
    },
    save: (emulator) => emulator.save_state(),
    restore: (emulator, state) => emulator.restore_state(state),
  };
}
