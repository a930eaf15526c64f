/** The map under a firmware of our own: windows made, moved and removed while the guest looks. */
import { V86Map } from "memslots/v86";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { firmware, GuestCode } from "./guest.js";
import { GuestMachine, V86_WASM } from "./machine.js";
import { MIB, SIZES } from "./sizes.js";

const LOW = 0xd000_0000;
const HIGH = 0xd800_0000;

test("create, write, move, read", async () => {
  const memory = new Uint8Array(MIB).fill(0x41);
  const map = await V86Map.create({ v86: SIZES, memory });
  const code = new GuestCode()
    .read(LOW)
    .call(1)
    .read(LOW)
    .write(LOW, 0x5a)
    .read(LOW)
    .call(2)
    .read(LOW)
    .read(HIGH)
    .call(0);
  const window = { slot: 0, flags: 1, guestPhysAddr: LOW, memorySize: MIB, userspaceAddr: 0 };
  const machine = new GuestMachine(
    { bios: { buffer: firmware(code) }, wasm_fn: map.wasmFunction(V86_WASM) },
    {
      1: () => map.commit([window]),
      2: () => map.commit([{ ...window, guestPhysAddr: HIGH }]),
    },
  );
  await machine.called(0);
  assert.equal(machine.values, [0xff, 0x41, 0x5a, 0xff, 0x5a]);
  assert.is(memory[0], 0x5a);
  await machine.stop();
});

test.run();
