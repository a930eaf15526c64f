/**
 * `npm run demo:interpreter`: one RV32I core in plain JavaScript on guest memory, and on a flat array, in turns. Both
 * must end with the same registers and memory, or the exit code is 1. A ratio below the target is printed only: a demo
 * does not fail on a busy machine.
 */
import { guestMemory, KVM_MEM_LOG_DIRTY_PAGES, MemslotEngine, type Vcpu } from "memslots";
import { FlatMemory } from "./flat.js";
import { PROGRAM, RAM_BYTES } from "./program.js";
import type { Cpu, Memory } from "./rv32i.js";

const BATCH = 300_000;
const ROUNDS = 31;
const WARMUP_ROUNDS = 40;
const TARGET = 0.6;

interface Setting {
  readonly name: string;
  readonly slots: number;
  readonly flags: number;
  /** Instructions in a section. */
  readonly section: number;
}

const SETTINGS: readonly Setting[] = [
  { name: "1 slot", slots: 1, flags: 0, section: BATCH },
  { name: "with a dirty log", slots: 1, flags: KVM_MEM_LOG_DIRTY_PAGES, section: BATCH },
  { name: "16 slots", slots: 16, flags: 0, section: BATCH },
  { name: "sections of 100 instructions", slots: 1, flags: 0, section: 100 },
];

function loaded(): Uint8Array {
  const bytes = new Uint8Array(RAM_BYTES);
  new Int32Array(bytes.buffer).set(PROGRAM);
  return bytes;
}

let cores = 0;

/** A core of its own: one for all would be compiled for the mixture of their memories, which no emulator has. */
async function newCore(): Promise<typeof import("./rv32i.js")> {
  return await import(`./rv32i.js?${cores++}`);
}

/** A core with its memory; `batch` runs BATCH instructions. */
async function machine(memory: Memory, bytes: () => Uint8Array, vcpu: Vcpu | undefined, section: number) {
  const { run } = await newCore();
  const cpu: Cpu = { x: new Int32Array(32), pc: 0 };
  return {
    batch() {
      for (let done = 0; done < BATCH; done += section) {
        vcpu?.enter();
        run(cpu, memory, section);
        vcpu?.exit();
      }
    },
    state: () => `${cpu.pc} ${cpu.x.join(" ")} ${bytes().join(" ")}`,
  };
}

async function onSlots({ slots, flags, section }: Setting) {
  const engine = await MemslotEngine.create();
  const memorySize = RAM_BYTES / slots;
  // Host memory has the slots in reverse order.
  const hostOf = (slot: number) => (slots - 1 - slot) * memorySize;
  engine.setUserMemoryRegionList(
    Array.from({ length: slots }, (_, slot) => ({
      slot,
      flags,
      guestPhysAddr: slot * memorySize,
      memorySize,
      userspaceAddr: hostOf(slot),
    })),
  );
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, new ArrayBuffer(RAM_BYTES), { vcpu });
  memory.write(0, loaded());
  const bytes = () => {
    const all = new Uint8Array(RAM_BYTES);
    memory.read(0, all);
    return all;
  };
  return await machine(memory, bytes, vcpu, section);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

let wrong = 0;
console.log(
  `RV32I in JavaScript, ${BATCH.toLocaleString("en-US")} instructions a batch, medians of ${ROUNDS}`,
);
console.log("memory".padEnd(32), "flat, MIPS".padStart(12), "slots, MIPS".padStart(12), "ratio".padStart(7));
for (const setting of SETTINGS) {
  const flatBytes = loaded();
  const flat = await machine(new FlatMemory(flatBytes), () => flatBytes, undefined, setting.section);
  const slots = await onSlots(setting);
  const times: [number[], number[]] = [[], []];
  for (let round = -WARMUP_ROUNDS; round < ROUNDS; round++) {
    for (const [i, { batch }] of [flat, slots].entries()) {
      const start = performance.now();
      batch();
      if (round >= 0) times[i as 0 | 1].push(performance.now() - start);
    }
  }
  const mips = times.map((list) => BATCH / median(list) / 1000);
  const ratio = mips[1]! / mips[0]!;
  const verdict = ratio >= TARGET ? "" : `  below ${TARGET}`;
  const figures = mips.map((value) => value.toFixed(1).padStart(12)).join(" ");
  console.log(setting.name.padEnd(32), figures, ratio.toFixed(2).padStart(7) + verdict);
  if (flat.state() !== slots.state()) {
    console.log(`${setting.name}: the two came to different states`);
    wrong++;
  }
}
process.exitCode = wrong === 0 ? 0 : 1;
