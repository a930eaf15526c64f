/**
 * What a bank switch costs: a write to the mapper's register, as the CPU makes it, with all that follows.
 */
import type { Case, Entrant } from "../../../bench/harness/case.js";
import { BOARDS, cartridge } from "./boards.js";
import { alone, type Console, onSlots } from "./frames.js";
import type { Nes } from "./jsnes.js";

export const COPY = "jsnes: copies 16 KiB byte by byte";
export const SET = "jsnes, if it copied with TypedArray.set";
export const SWITCH = "on slots: one list, one publication";
export const FRAME_ALONE = "jsnes alone";
export const FRAME_ON_SLOTS = "on slots";

/** A board that switches 16 KiB of program, and nothing else, by any write to ROM. */
const UXROM = BOARDS.find(({ name }) => name === "UxROM")!;
const REGISTER = 0x8000;
/** A byte of the window, seldom the same in two banks. */
const PROBE = 0x9234;
const SWITCHES = 256;
const FRAMES = 2;

/** Switch and look, as the CPU would: from ROM that jsnes reads without its mapper, without it. */
function switchBanks({ mmap, cpu, rom }: Nes, round: number): number {
  const mapper = mmap!;
  let sum = 0;
  for (let i = 0; i < SWITCHES; i++) {
    mapper.write(REGISTER, (round + i) % rom.romCount);
    sum += mapper.readsPrgFromCpuMem() ? cpu.mem[PROBE]! : mapper.load(PROBE);
  }
  return sum;
}

function entrant(name: string, operations: number, batch: (round: number) => number): Entrant {
  return { name, build: () => ({ operations, batch }) };
}

async function switchEntrants(): Promise<Entrant[]> {
  const rom = cartridge(UXROM);
  const { nes: copying } = alone(rom);
  const { nes: setting } = alone(rom);
  setting.mmap!.loadRomBank = (bank, address) =>
    setting.cpu.mem.set(setting.rom.rom[bank % setting.rom.romCount]!, address);
  const { nes: switching } = await onSlots(rom);
  return [
    entrant(COPY, SWITCHES, (round) => switchBanks(copying, round)),
    entrant(SET, SWITCHES, (round) => switchBanks(setting, round)),
    entrant(SWITCH, SWITCHES, (round) => {
      let sum = 0;
      switching.banks.inSection(() => {
        sum = switchBanks(switching, round);
      });
      return sum;
    }),
  ];
}

async function frameEntrants(): Promise<Entrant[]> {
  const rom = cartridge(UXROM);
  // A batch that was disturbed is made again, so that the consoles are not at the same frame.
  const frames = ({ nes, pictures }: Console) => {
    for (let i = 0; i < FRAMES; i++) nes.frame();
    return pictures.splice(0).length;
  };
  const first = alone(rom);
  const second = await onSlots(rom);
  return [
    entrant(FRAME_ALONE, FRAMES, () => frames(first)),
    entrant(FRAME_ON_SLOTS, FRAMES, () => frames(second)),
  ];
}

export const SWITCH_CASE: Case = {
  name: "UxROM, bank switch",
  n: UXROM.prgBanks,
  unit: "switch",
  prepare: switchEntrants,
};

export const FRAME_CASE: Case = {
  name: "UxROM, whole frames",
  n: UXROM.prgBanks,
  unit: "frame",
  prepare: frameEntrants,
};
