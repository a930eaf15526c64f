/**
 * The machine as a flattened devicetree, made in code: what Linux finds in a1.
 */
import { PLIC, PLIC_BYTES, RAM, TICKS_PER_MS, UART, UART_BYTES, UART_IRQ } from "./map.js";

const MAGIC = 0xd00dfeed;
const VERSION = 17;
const COMPATIBLE_VERSION = 16;
const BEGIN_NODE = 1;
const END_NODE = 2;
const PROPERTY = 3;
const END = 9;
const HEADER_BYTES = 40;
/** No memory is reserved: one entry of zeros. */
const RESERVED_BYTES = 16;

type Value = string | readonly string[] | readonly number[] | Uint8Array | true;

/** Properties and children of a node, in their order. */
export interface TreeNode {
  readonly [name: string]: Value | TreeNode;
}

function isNode(value: Value | TreeNode): value is TreeNode {
  return typeof value === "object" && !Array.isArray(value) && !(value instanceof Uint8Array);
}

class Writer {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  word(value: number): void {
    this.#bytes.push(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
  }

  bytes(bytes: Iterable<number>): void {
    for (const byte of bytes) this.#bytes.push(byte);
  }

  align(): void {
    while (this.#bytes.length % 4 !== 0) this.#bytes.push(0);
  }

  take(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

function valueBytes(value: Value): Uint8Array {
  if (value === true) return new Uint8Array(0);
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return textBytes(value);
  const writer = new Writer();
  for (const item of value) {
    if (typeof item === "string") writer.bytes(textBytes(item));
    else writer.word(item);
  }
  return writer.take();
}

/** The tree as bytes. Numbers are cells of 32 bits. */
export function flatten(root: TreeNode): Uint8Array {
  const structure = new Writer();
  const strings = new Writer();
  const names = new Map<string, number>();
  const nameAt = (name: string) => {
    const known = names.get(name);
    if (known !== undefined) return known;
    const at = strings.length;
    names.set(name, at);
    strings.bytes(textBytes(name));
    return at;
  };
  const visit = (name: string, node: TreeNode) => {
    structure.word(BEGIN_NODE);
    structure.bytes(textBytes(name));
    structure.align();
    for (const [key, value] of Object.entries(node)) {
      if (isNode(value)) continue;
      const bytes = valueBytes(value);
      structure.word(PROPERTY);
      structure.word(bytes.length);
      structure.word(nameAt(key));
      structure.bytes(bytes);
      structure.align();
    }
    for (const [key, value] of Object.entries(node)) if (isNode(value)) visit(key, value);
    structure.word(END_NODE);
  };
  visit("", root);
  structure.word(END);
  const structureAt = HEADER_BYTES + RESERVED_BYTES;
  const stringsAt = structureAt + structure.length;
  const header = new Writer();
  const words = [MAGIC, stringsAt + strings.length, structureAt, stringsAt, HEADER_BYTES];
  for (const word of [...words, VERSION, COMPATIBLE_VERSION, 0, strings.length, structure.length]) {
    header.word(word);
  }
  header.bytes(new Uint8Array(RESERVED_BYTES));
  header.bytes(structure.take());
  header.bytes(strings.take());
  return header.take();
}

export interface TreeOptions {
  readonly harts: number;
  readonly ramBytes: number;
  readonly commandLine: string;
  /** Guest addresses, half-open. */
  readonly initrd: { readonly start: number; readonly end: number };
  /** Of the guest's random numbers. */
  readonly seed: Uint8Array;
}

const EXTENSIONS = ["i", "m", "a", "f", "d", "c", "zicntr", "zicsr", "zifencei", "zihintpause", "sstc"];
/** Number of the supervisor's external interrupt. */
const EXTERNAL_INTERRUPT = 9;

/** A 64-bit number as two cells. */
function wide(value: number): [number, number] {
  return [Math.floor(value / 2 ** 32), value >>> 0];
}

export function machineTree({ harts, ramBytes, commandLine, initrd, seed }: TreeOptions): TreeNode {
  const ids = Array.from({ length: harts }, (_, hart) => hart);
  const plic = harts + 1;
  const cpus = ids.map((hart): [string, TreeNode] => [
    `cpu@${hart}`,
    {
      device_type: "cpu",
      reg: [hart],
      status: "okay",
      compatible: "riscv",
      "riscv,isa": "rv64imafdc_zicntr_zicsr_zifencei_zihintpause_sstc",
      "riscv,isa-base": "rv64i",
      "riscv,isa-extensions": EXTENSIONS,
      "mmu-type": "riscv,sv39",
      "interrupt-controller": {
        "#interrupt-cells": [1],
        "interrupt-controller": true,
        compatible: "riscv,cpu-intc",
        phandle: [hart + 1],
      },
    },
  ]);
  const serial = `serial@${UART.toString(16)}`;
  return {
    "#address-cells": [2],
    "#size-cells": [2],
    compatible: "riscv-virtio",
    model: "memory slots",
    chosen: {
      bootargs: commandLine,
      "stdout-path": `/soc/${serial}`,
      "linux,initrd-start": wide(initrd.start),
      "linux,initrd-end": wide(initrd.end),
      "rng-seed": seed,
    },
    cpus: {
      "#address-cells": [1],
      "#size-cells": [0],
      "timebase-frequency": [TICKS_PER_MS * 1000],
      ...Object.fromEntries(cpus),
    },
    [`memory@${RAM.toString(16)}`]: { device_type: "memory", reg: [...wide(RAM), ...wide(ramBytes)] },
    soc: {
      "#address-cells": [2],
      "#size-cells": [2],
      compatible: "simple-bus",
      ranges: true,
      [`plic@${PLIC.toString(16)}`]: {
        compatible: ["sifive,plic-1.0.0", "riscv,plic0"],
        reg: [...wide(PLIC), ...wide(PLIC_BYTES)],
        "#address-cells": [0],
        "#interrupt-cells": [1],
        "interrupt-controller": true,
        "interrupts-extended": ids.flatMap((hart) => [hart + 1, EXTERNAL_INTERRUPT]),
        "riscv,ndev": [UART_IRQ],
        phandle: [plic],
      },
      [serial]: {
        compatible: "ns16550a",
        reg: [...wide(UART), ...wide(UART_BYTES)],
        "clock-frequency": [3_686_400],
        interrupts: [UART_IRQ],
        "interrupt-parent": [plic],
      },
    },
  };
}
