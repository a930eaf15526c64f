/**
 * Bank switching: each switch is a list of two moves, made in the thread of the hart that asked for it.
 */
import { assemble } from "../asm/assembler.js";
import { guestProgram } from "../guest.js";
import { Machine } from "../machine.js";
import { RAM } from "../map.js";
import { type MapperPlace, parkBanks } from "../mapper.js";

/** A page of the hart's tables, as the program banks of a console. */
const BANK_BYTES = 0x1000;
/** As in guests/banks.s. */
const BANKS = 16;
const WINDOW = 0x6000_0000;
/** Where banks are parked: far apart for each hart. */
const PARKING = 0x7000_0000;
const PARKING_BYTES = 0x10_0000;
const RAM_BYTES = 0x4_0000;
/** Offset of the banks in RAM. */
const STORE = 0x2_0000;

export interface BankResult {
  readonly switches: number;
  readonly instructions: number;
  readonly flushes: number;
  readonly seconds: number;
  readonly wrong: readonly string[];
}

function placeOf(machine: Machine, hart: number): MapperPlace {
  return {
    slot: 1 + hart * BANKS,
    banks: BANKS,
    bankBytes: BANK_BYTES,
    window: WINDOW + hart * BANK_BYTES,
    parking: PARKING + hart * PARKING_BYTES,
    host: machine.ramHva + STORE + hart * BANKS * BANK_BYTES,
  };
}

/** Where the bytes of a bank are, as a guest address of the RAM that they are part of. */
function homeOf(hart: number, bank: number): number {
  return RAM + STORE + (hart * BANKS + bank) * BANK_BYTES;
}

export async function runBanks(module: WebAssembly.Module, harts = 2): Promise<BankResult> {
  const machine = await Machine.create({ harts, ramBytes: RAM_BYTES, module });
  const { engine } = machine;
  const program = guestProgram("banks");
  machine.load(program);
  const places = machine.states.map((_, hart) => placeOf(machine, hart));
  engine.setUserMemoryRegion(machine.ram(0, 0, STORE));
  for (const [hart, place] of places.entries()) {
    parkBanks(engine, place);
    for (let bank = 0; bank < BANKS; bank++) {
      const text = `.word ${bank}, 0\nli a0, ${bank}\nret`;
      machine.load(assemble(text, homeOf(hart, bank)));
    }
  }
  try {
    await machine.start(RAM, places);
    const before = engine.publications;
    const start = performance.now();
    machine.go();
    const codes = await machine.ended();
    const wrong = codes.flatMap((code, hart) => (code === 0 ? [] : [`hart ${hart} ended with ${code}`]));
    const expected = program.symbols.get("expected")!;
    for (let hart = 0; hart < harts; hart++) {
      for (let bank = 0; bank < BANKS; bank++) {
        const seen = machine.word(homeOf(hart, bank) + 4);
        const counted = machine.word(expected + hart * 64 + bank * 4);
        if (seen !== counted) wrong.push(`hart ${hart}, bank ${bank}: written ${seen} times, not ${counted}`);
      }
    }
    const { instructions, flushes } = machine.total();
    const seconds = (performance.now() - start) / 1000;
    return { switches: engine.publications - before, instructions, flushes, seconds, wrong };
  } finally {
    await machine.end();
  }
}
