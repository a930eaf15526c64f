/**
 * The reproductions of RHBZ 1979276, by the names of the specification (R1 to R11), and why some of them have
 * no counterpart here.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type Slot } from "memslots";
import { DirtyCopy, LeftBlock, OldLayout } from "./checks.js";
import { type Change, gone, type Scenario, slot, spread } from "./scenario.js";

/** i440fx with 128 MiB: where SeaBIOS unlocks the PAM areas and locks them again. */
const PAM = 0xc_0000;
const PAM_RAM = 0xd_0000;
const BIOS = 0xf_0000;
const HIGH = 0x10_0000;
const END = 0x800_0000;
const MIB = 0x10_0000;

const whole = slot(1, PAM, END);
const split: Slot[] = [
  gone(1),
  slot(1, PAM, PAM_RAM, KVM_MEM_READONLY),
  slot(2, PAM_RAM, BIOS),
  slot(3, BIOS, HIGH, KVM_MEM_READONLY),
  slot(4, HIGH, END),
];
const merge: Slot[] = [gone(1), gone(2), gone(3), gone(4), whole];
/** Every page below 1 MiB, where the code runs, and some of all the RAM behind it. */
const pamPages = [...spread(PAM, HIGH, 64), ...spread(HIGH, END, 128)];

/** A bad entry put in at each place of the split in turn: misaligned, then over a slot that stays. */
const faults: Change[] = Array.from({ length: split.length + 1 }, (_, at) => at).flatMap((at) =>
  [slot(9, PAM + 1, HIGH), slot(9, END, END + MIB)].map((bad) => ({
    list: [...split.slice(0, at), bad, ...split.slice(at)],
    refusedAt: at,
  })),
);

const HOLE = 0x100_0000;
const logged = (id: number, start: number, end: number) => slot(id, start, end, KVM_MEM_LOG_DIRTY_PAGES);

/** The same slot in the address space of system management mode. */
const inSmm = (region: Slot): Slot => ({ ...region, slot: region.slot | (1 << 16) });
const inBoth = (list: readonly Slot[]) => [...list, ...list.map(inSmm)];

export const SCENARIOS: readonly Scenario[] = [
  {
    id: "R1",
    title: "split of [0xc0000, +0x7f40000) in four and back",
    initial: [whole],
    changes: [{ list: split }, { list: merge }],
    pages: pamPages,
    readonly: true,
    losesOneByOne: true,
  },
  {
    id: "R2",
    title: "grow and shrink, used in the half that stays",
    initial: [slot(1, HIGH, HIGH + 16 * MIB)],
    changes: [
      { list: [gone(1), slot(1, HIGH, HIGH + 32 * MIB)] },
      { list: [gone(1), slot(1, HIGH, HIGH + 16 * MIB)] },
    ],
    pages: spread(HIGH, HIGH + 16 * MIB, 128),
    losesOneByOne: true,
  },
  {
    id: "R3",
    title: "READONLY toggled by delete and create",
    initial: [slot(1, 0, 0xa_0000), slot(2, PAM, HIGH), slot(3, HIGH, END)],
    changes: [
      { list: [gone(2), slot(2, PAM, HIGH, KVM_MEM_READONLY)] },
      { list: [gone(2), slot(2, PAM, HIGH)] },
    ],
    pages: spread(PAM, HIGH, 64),
    readonly: true,
    losesOneByOne: true,
  },
  {
    id: "R4",
    title: "1 MiB hole into a 16 MiB slot with a dirty log, and filled again",
    initial: [logged(1, HOLE, HOLE + 16 * MIB)],
    changes: [
      {
        list: [gone(1), logged(1, HOLE, HOLE + MIB), logged(2, HOLE + 2 * MIB, HOLE + 16 * MIB)],
      },
      { list: [gone(1), gone(2), logged(1, HOLE, HOLE + 16 * MIB)] },
    ],
    pages: [...spread(HOLE, HOLE + MIB, 256), ...spread(HOLE + 2 * MIB, HOLE + 16 * MIB, 1792)],
    check: (engine, ram, pages) => new DirtyCopy(engine, ram, pages),
  },
  {
    id: "R7",
    title: "split and merge in two address spaces, one segment from RAM to ROM and back",
    addressSpaces: 2,
    initial: inBoth([whole]),
    changes: [
      { list: inBoth([gone(1), slot(1, PAM, PAM_RAM, 0, 1), slot(2, PAM_RAM, END)]) },
      { list: inBoth([gone(1), gone(2), whole]) },
    ],
    pages: pamPages,
  },
  {
    id: "R8",
    title: "a bad entry at each place of the split: the old layout stays",
    initial: [whole, slot(8, END, END + MIB)],
    changes: faults,
    pages: pamPages,
    check: (engine) => new OldLayout(engine),
  },
  {
    id: "R9",
    title: "R1 while a second thread makes single updates",
    initial: [whole],
    changes: [{ list: split }, { list: merge }],
    pages: pamPages,
    readonly: true,
    secondWriter: true,
  },
  {
    id: "R11",
    title: "the same guest pages to another host address and back",
    initial: [slot(1, PAM, HIGH)],
    changes: [
      { list: [gone(1), slot(1, PAM, HIGH, 0, 1)], leaves: 0 },
      { list: [gone(1), slot(1, PAM, HIGH)], leaves: 1 },
    ],
    pages: spread(PAM, HIGH, 64),
    writesPerAccess: 64,
    check: (_, ram, pages) => new LeftBlock(ram, pages),
  },
];

/** Scenarios of the specification that are not run, and why. */
export const NOT_APPLICABLE: Readonly<Record<string, string>> = {
  R5: "no INVALID slots and no second path: an emulator translates as every other reader does, see R1",
  R6: "no shadow page tables: the engine walks no guest page tables and keeps nothing derived from them",
  R10: "malformed lists need no threads: suites `lists`, `all-or-nothing`, `bad-input`, and the KVM vectors",
};
