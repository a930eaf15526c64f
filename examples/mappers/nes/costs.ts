/**
 * What a bank switch costs: a write to the mapper's register, as the CPU makes it, with all that follows. And what
 * frames cost whose program switches as often as it can.
 */
import { type Case, type Entrant, type Results, type Row, ratios } from "../../../bench/harness/case.js";
import { BOARDS, cartridge } from "./boards.js";
import { alone, type Console, onSlots } from "./frames.js";
import type { Nes } from "./jsnes.js";

const COPY = "jsnes: copies 16 KiB byte by byte";
const SET = "jsnes, if it copied with TypedArray.set";
const SWITCH = "on slots: one list, one publication";
const FRAME_ALONE = "jsnes alone";
const FRAME_ON_SLOTS = "on slots";

/** A board that switches 16 KiB of program, and nothing else, by any write to ROM. */
const UXROM = BOARDS.find(({ name }) => name === "UxROM")!;
const REGISTER = 0x8000;
/** A byte of the window, seldom the same in two banks. */
const PROBE = 0x9234;
const SWITCHES = 256;
/** A switch is this many times cheaper than a copy, at least. */
const GAIN_MIN = 15;
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

const SWITCH_CASE: Case = {
  name: "UxROM, bank switch",
  n: UXROM.prgBanks,
  unit: "switch",
  prepare: switchEntrants,
};

const FRAME_CASE: Case = {
  name: "UxROM, whole frames",
  n: UXROM.prgBanks,
  unit: "frame",
  prepare: frameEntrants,
};

export const cases: readonly Case[] = [SWITCH_CASE, FRAME_CASE];

export function rows(results: Results): Row[] {
  const { n } = SWITCH_CASE;
  const gain = ratios(results, "N1", SWITCH_CASE.name, COPY, SWITCH, { [n]: GAIN_MIN });
  return [
    ...gain.map((row) => ({ ...row, atLeast: true })),
    ...ratios(results, "N2", SWITCH_CASE.name, SWITCH, SET, { [n]: 6.5 }),
    ...ratios(results, "N3", FRAME_CASE.name, FRAME_ON_SLOTS, FRAME_ALONE, { [n]: 0.5 }),
  ];
}
