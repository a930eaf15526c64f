// A test of the map, as a program of the console would make it: in Node, and in a page.
import { BANK_BYTES, createGameBoy } from "./map.mjs";

/** Throws for the first byte that is not where a Game Boy has it. @returns {Promise<string[]>} what was checked */
export async function checkMap() {
  const cartridge = new Uint8Array(4 * BANK_BYTES).map((_, i) => Math.floor(i / BANK_BYTES) + 0x10);
  const io = new Uint8Array(0x100);
  const registers = {
    read: (offset) => io[offset],
    write: (offset, _size, value) => void (io[offset] = value),
  };
  const { engine, vcpu, memory } = await createGameBoy(
    cartridge,
    new Uint8Array(0x100).fill(0xb0),
    registers,
  );
  const passed = [];
  const check = (what, ...pairs) => {
    for (const [actual, expected] of pairs) {
      if (actual !== expected)
        throw new Error(`${what}: 0x${actual.toString(16)}, not 0x${expected.toString(16)}`);
    }
    passed.push(what);
  };
  const get = (gpa) => memory.getUint8(gpa);
  const set = (gpa, value) => memory.setUint8(gpa, value);
  vcpu.enter();
  check(
    "boot ROM over the cartridge",
    [get(0xff), 0xb0],
    [get(0x100), 0x10],
    [memory.getUint16(0xff), 0xb010],
  );
  set(0xff50, 1);
  check("the cartridge after FF50", [get(0), 0x10], [get(0xff), 0x10], [get(0x4000), 0x11]);
  set(0x2000, 3);
  check("bank 3", [get(0x3fff), 0x10], [get(0x4000), 0x13], [get(0x7fff), 0x13]);
  set(0x2000, 0);
  check("bank 0 is bank 1", [get(0x4000), 0x11]);
  set(0x8000, 1);
  set(0x9fff, 2);
  check("video RAM", [get(0x8000), 1], [get(0x9fff), 2]);
  set(0xa000, 5);
  check("cartridge RAM is off", [get(0xa000), 0xff]);
  set(0x0000, 10);
  set(0xa000, 5);
  check("cartridge RAM is on", [get(0xa000), 5]);
  set(0x1fff, 0);
  check("and off again", [get(0xa000), 0xff]);
  set(0xc123, 6);
  set(0xfdff, 7);
  check("echo RAM", [get(0xe123), 6], [get(0xddff), 7], [memory.getUint16(0xddff), 0x0700 | get(0xde00)]);
  set(0xfe9f, 8);
  set(0xfea0, 9);
  check("160 bytes of sprites, then nothing", [get(0xfe9f), 8], [get(0xfea0), 0xff], [get(0xfeff), 0xff]);
  set(0xff42, 11);
  check("registers", [get(0xff42), 11], [io[0x42], 11]);
  set(0xff80, 12);
  set(0xfffe, 13);
  set(0xffff, 14);
  check(
    "127 bytes of RAM, then a register",
    [get(0xff80), 12],
    [get(0xfffe), 13],
    [get(0xffff), 14],
    [io[0xff], 14],
  );
  // A stack that grows from the register down: two devices and memory in one access.
  memory.setUint16(0xfffe, 0x1234, true);
  check("an access over memory and a register", [get(0xfffe), 0x34], [io[0xff], 0x12]);
  check("4 slots, 7 windows", [engine.slots().length, 4], [engine.windows().length, 7]);
  vcpu.exit();
  return passed;
}
