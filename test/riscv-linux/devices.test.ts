/** The machine's devices, and what it tells Linux of itself, without a hart. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { archiveOf, MODE } from "../../examples/riscv-linux/cpio.js";
import { Devices } from "../../examples/riscv-linux/devices.js";
import { flatten, type TreeNode } from "../../examples/riscv-linux/devicetree.js";
import { PLIC, UART, UART_IRQ } from "../../examples/riscv-linux/map.js";
import { INPUT_BYTES, SHARED_BYTES, Shared } from "../../examples/riscv-linux/shared.js";

const MIPS = [0, 64];
const EXTERNAL = 1 << 9;
const LINE_STATUS = UART + 5;
const INTERRUPT_ID = UART + 2;
const ENABLED = PLIC + 0x2000;
const CONTEXT = PLIC + 0x20_0000;

function create() {
  const memory = new WebAssembly.Memory({ initial: 1 + SHARED_BYTES / 65536, maximum: 64, shared: true });
  let told = 0;
  const devices = new Devices(memory, MIPS, new Shared(memory, 65536 / 2), () => told++);
  const isPending = (hart: number) => (new Int32Array(memory.buffer)[MIPS[hart]! / 4]! & EXTERNAL) !== 0;
  return { devices, isPending, told: () => told };
}

/** As Linux reads it: properties and children by name. */
function parse(bytes: Uint8Array): Record<string, unknown> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.is(view.getUint32(0), 0xd00dfeed);
  assert.is(view.getUint32(4), bytes.length);
  const strings = view.getUint32(12);
  const textAt = (at: number) => {
    let end = at;
    while (bytes[end] !== 0) end++;
    return new TextDecoder().decode(bytes.subarray(at, end));
  };
  let at = view.getUint32(8);
  const node = (): Record<string, unknown> => {
    const found: Record<string, unknown> = {};
    for (;;) {
      const token = view.getUint32(at);
      at += 4;
      if (token === 2) return found;
      if (token === 1) {
        const name = textAt(at);
        at += Math.ceil((name.length + 1) / 4) * 4;
        found[name] = node();
      } else {
        assert.is(token, 3);
        const [length, name] = [view.getUint32(at), textAt(strings + view.getUint32(at + 4))];
        found[name] = [...bytes.subarray(at + 8, at + 8 + length)];
        at += 8 + Math.ceil(length / 4) * 4;
      }
    }
  };
  assert.is(view.getUint32(at), 1);
  at += 8;
  return node();
}

test("a devicetree is read as it was written", () => {
  const tree: TreeNode = {
    "#address-cells": [2],
    text: "ab",
    list: ["a", "bcd"],
    flag: true,
    raw: Uint8Array.of(1, 2, 3, 4, 5),
    "node@1": { reg: [1, 0xffff_ffff], inner: { "#address-cells": [1] } },
    last: { text: "" },
  };
  assert.equal(parse(flatten(tree)), {
    "#address-cells": [0, 0, 0, 2],
    text: [97, 98, 0],
    list: [97, 0, 98, 99, 100, 0],
    flag: [],
    raw: [1, 2, 3, 4, 5],
    "node@1": { reg: [0, 0, 0, 1, 255, 255, 255, 255], inner: { "#address-cells": [0, 0, 0, 1] } },
    last: { text: [0] },
  });
});

test("an archive has its entries at multiples of 4, with their lengths, and a trailer", () => {
  const bytes = archiveOf([{ name: "a/bc", mode: MODE.file, data: Uint8Array.of(1, 2, 3, 4, 5) }]);
  const text = new TextDecoder("latin1").decode(bytes);
  assert.is(text.slice(0, 6), "070701");
  assert.is(Number.parseInt(text.slice(14, 22), 16), MODE.file);
  assert.is(Number.parseInt(text.slice(54, 62), 16), 5);
  assert.is(Number.parseInt(text.slice(94, 102), 16), 5);
  assert.is(text.slice(110, 115), "a/bc\0");
  assert.equal([...bytes.subarray(116, 124)], [1, 2, 3, 4, 5, 0, 0, 0]);
  assert.is(text.slice(124, 130), "070701");
  assert.is(text.slice(124 + 110, 124 + 121), "TRAILER!!!\0");
});

test("what is typed interrupts the hart that wants it, until all of it is read", () => {
  const { devices, isPending } = create();
  devices.store(PLIC + UART_IRQ * 4, 1);
  devices.store(ENABLED + 0x80, 1 << UART_IRQ);
  devices.store(UART + 1, 1);
  assert.is(devices.type(Uint8Array.of(65, 66)), 2);
  assert.equal([isPending(0), isPending(1)], [false, true]);
  assert.is(devices.load(CONTEXT + 4), 0, "the other hart has nothing to claim");
  assert.is(devices.load(CONTEXT + 0x1004), UART_IRQ);
  assert.is(isPending(1), false, "claimed");
  assert.is(devices.load(INTERRUPT_ID)! & 0xf, 4);
  assert.is(devices.load(UART), 65);
  devices.store(CONTEXT + 0x1004, UART_IRQ);
  assert.is(isPending(1), true, "one is left");
  assert.is(devices.load(CONTEXT + 0x1004), UART_IRQ);
  assert.is(devices.load(UART), 66);
  assert.is(devices.load(LINE_STATUS)! & 1, 0);
  devices.store(CONTEXT + 0x1004, UART_IRQ);
  assert.is(isPending(1), false);
});

test("a threshold, a priority of 0, or no enabled bit keeps an interrupt back", () => {
  const { devices, isPending } = create();
  devices.store(UART + 1, 1);
  devices.type(Uint8Array.of(1));
  assert.is(isPending(0), false);
  devices.store(ENABLED, 1 << UART_IRQ);
  assert.is(isPending(0), false, "priority 0");
  devices.store(PLIC + UART_IRQ * 4, 3);
  assert.is(isPending(0), true);
  devices.store(CONTEXT, 3);
  assert.is(isPending(0), false, "threshold 3");
  devices.store(CONTEXT, 2);
  assert.is(isPending(0), true);
});

test("what is written is taken once, in order, and its reader is told once", () => {
  const { devices, told } = create();
  for (const byte of [104, 105]) devices.store(UART, byte);
  assert.is(told(), 1);
  assert.equal([...devices.takeOutput()], [104, 105]);
  assert.equal([...devices.takeOutput()], []);
  devices.store(UART, 33);
  assert.is(told(), 2);
  assert.equal([...devices.takeOutput()], [33]);
});

test("a full ring takes no more, and there is nothing beside the devices", () => {
  const { devices } = create();
  assert.is(devices.type(new Uint8Array(INPUT_BYTES + 5)), INPUT_BYTES);
  assert.is(devices.load(0x1234), undefined);
  assert.is(devices.store(UART - 1, 0), false);
});

test.run();
