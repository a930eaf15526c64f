/**
 * What the bus costs: reads of registers and of memory, as the core makes them, and the whole test program.
 */
import { type Case, type Entrant, type Results, type Row, ratios } from "../../../bench/harness/case.js";
import { createMachine, execute, type Machine } from "./machine.js";
import { slots } from "./memorymap.js";
import { programImage } from "./program.js";

const CHAIN = "rp2040js: a chain of comparisons";
const ON_SLOTS = "on slots: a page table";

/** Registers that firmware polls, and whose reads change nothing: UART, SPI, I2C, ADC, timer, RESETS, clocks, PIO. */
const POLLED = [
  0x40034018, 0x4003c00c, 0x40044070, 0x4004c000, 0x40054028, 0x4000c008, 0x40008044, 0x50200004,
];
const READS = 32768;
const SRAM = 0x20000000;
const FLASH = 0x10000000;
const WORDS = 1024;
/** Of the test program: a batch that is short enough to be left alone by a busy machine. */
const STEPS = 4096;

type Work = (machine: Machine) => number;

function pollRegisters({ chip }: Machine): number {
  let sum = 0;
  for (let i = 0; i < READS; i++) sum += chip.readUint32(POLLED[i % POLLED.length]!);
  return sum;
}

function readSram({ chip }: Machine): number {
  let sum = 0;
  for (let i = 0; i < READS; i++) sum += chip.readUint32(SRAM + 4 * (i % WORDS));
  return sum;
}

function fetch({ chip }: Machine): number {
  let sum = 0;
  for (let i = 0; i < READS; i++) sum += chip.readUint16(FLASH + 2 * (i % WORDS));
  return sum;
}

/** Both kinds of machine, each in a section if it has them. */
async function entrants(operations: number, work: Work): Promise<Entrant[]> {
  const image = programImage();
  const alone = await createMachine(image, "as it is");
  const onSlots = await createMachine(image, "on slots");
  return [
    { name: CHAIN, build: () => ({ operations, batch: () => work(alone) }) },
    {
      name: ON_SLOTS,
      build: () => ({
        operations,
        batch() {
          let answer = 0;
          onSlots.bus!.inSection(() => {
            answer = work(onSlots);
          });
          return answer;
        },
      }),
    },
  ];
}

/** Go on with the program, or begin it again: it sorts most of the time. */
function runProgram(machine: Machine): number {
  if (machine.ended) {
    Object.assign(machine, { steps: 0, ended: false, text: "", usb: [], log: [] });
    machine.chip.core.reset();
  }
  execute(machine, STEPS);
  return 0;
}

function costCase(name: string, unit: string, operations: number, work: Work): Case {
  return { name, n: slots().length, unit, prepare: () => entrants(operations, work) };
}

export const cases: readonly Case[] = [
  costCase("RP2040, read of a polled register", "read", READS, pollRegisters),
  costCase("RP2040, read of SRAM", "read", READS, readSram),
  costCase("RP2040, fetch from flash", "fetch", READS, fetch),
  costCase("RP2040, the test program", "instruction", STEPS, runProgram),
];

/** In the order of the cases. */
const TARGETS = [1, 1.2, 1.5, 1.3];

export function rows(results: Results): Row[] {
  return cases.flatMap((one, i) =>
    ratios(results, `R${i + 1}`, one.name, ON_SLOTS, CHAIN, { [one.n]: TARGETS[i]! }),
  );
}
