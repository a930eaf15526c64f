/**
 * The hart's tables in front of the engine's TLB: what it finds is of its layout, no written page is lost to the log,
 * and a reservation ends with what it was for.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Mutation } from "../../examples/riscv-linux/build.js";
import { EXIT } from "../../examples/riscv-linux/exports.js";
import { RAM } from "../../examples/riscv-smp/map.js";
import { PAGE } from "../support/region.js";
import { HartLab, ROM, TLB_ENTRIES } from "./lab.js";

const LOGGED = KVM_MEM_LOG_DIRTY_PAGES;
const DATA = RAM + 0x4000;
const OTHER = RAM + 0x6000;
/** In the same entry of the hart's table as DATA: of 1,024, by the numbers of the pages. */
const ALIAS = DATA + 1024 * PAGE;
/** In an entry of its own, so that nothing but a flush takes it out. */
const WINDOW = 0x6000_8000;

function load(lab: HartLab, address: number): { exit: number; value: number } {
  const exit = lab.execute(`li a0, ${address | 0}\nlw a1, 0(a0)`);
  return { exit, value: lab.x(11) };
}

function store(lab: HartLab, address: number, value = 1): number {
  return lab.execute(`li a0, ${address | 0}\nli a1, ${value}\nsw a1, 0(a0)`);
}

/** Flushes that `work` causes, with a section before and after it. */
function flushes(lab: HartLab, work: () => void): number {
  store(lab, DATA);
  const before = lab.exports.flushes(lab.hart);
  work();
  store(lab, DATA);
  return lab.exports.flushes(lab.hart) - before;
}

function flushCounts(lab: HartLab): number[] {
  const { engine } = lab;
  const window = (flags = 0) => lab.slot(2, DATA, PAGE, flags, WINDOW);
  return [
    flushes(lab, () => {}),
    flushes(lab, () => engine.setUserMemoryRegion(window())),
    flushes(lab, () => engine.setUserMemoryRegion(window())),
    flushes(lab, () => engine.setUserMemoryRegionList([window(LOGGED), window()])),
    flushes(lab, () => engine.setUserMemoryRegion(window(LOGGED))),
    flushes(lab, () => {
      engine.setUserMemoryRegion({ ...window(LOGGED), guestPhysAddr: WINDOW + PAGE });
      engine.setUserMemoryRegion({ ...window(LOGGED), memorySize: 0 });
    }),
  ];
}

/** None; create; the same again; a list without effect; flags; two commits between two sections. */
const FLUSHES = [0, 1, 0, 0, 1, 1];

/** What loads and stores find when a window moves, turns READONLY, shows other bytes and goes. */
function windowSeen(lab: HartLab): unknown[] {
  const { engine } = lab;
  lab.setWord(DATA, 11);
  lab.setWord(OTHER, 22);
  const seen: unknown[] = [];
  const look = () => seen.push(load(lab, WINDOW), store(lab, WINDOW + 4));
  engine.setUserMemoryRegion(lab.slot(2, DATA, PAGE, 0, WINDOW));
  look();
  engine.setUserMemoryRegionList([lab.slot(2, DATA, 0), lab.slot(3, OTHER, PAGE, KVM_MEM_READONLY, WINDOW)]);
  look();
  engine.setUserMemoryRegion(lab.slot(3, OTHER, PAGE, KVM_MEM_READONLY, WINDOW + PAGE));
  look();
  return seen;
}

const SEEN = [
  { exit: EXIT.budget, value: 11 },
  EXIT.budget,
  { exit: EXIT.budget, value: 22 },
  EXIT.store,
  // The register is as the store before left it.
  { exit: EXIT.load, value: 1 },
  EXIT.store,
];

/** Pages of slot 0 and of the alias that the log has after `text`. */
function logged(lab: HartLab, text: string): [number[], number[]] {
  lab.engine.setUserMemoryRegion(lab.slot(2, DATA, PAGE, LOGGED, ALIAS));
  lab.engine.getDirtyLog(0);
  lab.engine.getDirtyLog(2);
  lab.execute(`li a0, ${DATA}\nli a2, ${ALIAS}\nli a3, ${OTHER}\n${text}`);
  return [pagesOf(lab.engine.getDirtyLog(0)), pagesOf(lab.engine.getDirtyLog(2))];
}

function pagesOf(bitmap: Uint8Array): number[] {
  return Array.from({ length: bitmap.length * 8 }, (_, page) => page).filter(
    (page) => bitmap[page >> 3]! & (1 << (page & 7)),
  );
}

function logsOf(lab: HartLab): [number[], number[]][] {
  return [
    logged(lab, "lw a1, 0(a0)\nlr.w a1, (a3)"),
    logged(lab, "sb a1, 7(a0)"),
    logged(lab, "sw a1, 0(a0)\nsw a1, 0(a3)"),
    logged(lab, "amoadd.w a1, a1, (a0)"),
    logged(lab, "lr.w a1, (a3)\nsc.w a1, a1, (a3)"),
    // Out of the TLB before the section ends, by a write, by a read.
    logged(lab, "sw a1, 0(a0)\nsw a1, 0(a2)"),
    logged(lab, "sw a1, 0(a0)\nlw a1, 0(a2)"),
    logged(lab, "sw a1, 0(a0)\nlw a1, 0(a0)\nlw a1, 0(a2)"),
  ];
}

const LOGS = [
  [[], []],
  [[4], []],
  [[4, 6], []],
  [[4], []],
  [[6], []],
  [[4], [0]],
  [[4], []],
  [[4], []],
];

test("flushed once when the layout has changed, and at no other time", async () => {
  assert.equal(flushCounts(await HartLab.create()), FLUSHES);
});

test("a window that changes is seen as it is now", async () => {
  assert.equal(windowSeen(await HartLab.create()), SEEN);
});

test("each written page is in the log, and no other", async () => {
  assert.equal(logsOf(await HartLab.create()), LOGS);
});

test("one translation for all accesses to a page in one layout", async () => {
  const lab = await HartLab.create();
  load(lab, DATA);
  const before = lab.exports.misses(lab.hart);
  lab.execute(`li a0, ${DATA}\n${"lw a1, 0(a0)\nlw a1, 4(a0)\n".repeat(50)}`);
  assert.is(lab.exports.misses(lab.hart), before);
  // An access that is refused is not remembered.
  assert.is(store(lab, ROM), EXIT.store);
  assert.is(store(lab, ROM), EXIT.store);
});

type Observe = (lab: HartLab) => unknown;

/** A page that has another entry in the hart's table, and the one of DATA in the engine's TLB. */
function evictorOf(address: number): number {
  const folded = (page: number) => (page ^ (page >> 6) ^ (page >> 12)) & (TLB_ENTRIES - 1);
  const page = address / PAGE;
  let other = page + 1;
  while (folded(other) !== folded(page)) other++;
  return other * PAGE;
}

/**
 * Is a page in the log if its mark, of an earlier section, is taken between two writes of one section? The engine's
 * TLB has forgotten the page: only the hart's own table knows that it may be written.
 */
function isLoggedAfterHarvest(lab: HartLab): boolean {
  const evictor = evictorOf(DATA);
  lab.engine.setUserMemoryRegion(lab.slot(2, OTHER, PAGE, 0, evictor));
  store(lab, DATA);
  load(lab, evictor);
  let calls = 0;
  lab.now = () => {
    // The first is that of the section's beginning.
    if (++calls === 2) assert.equal(pagesOf(lab.engine.getDirtyLog(0)), [4]);
    return 0;
  };
  lab.execute(`li a0, ${DATA}\nsw a1, 0(a0)\ncsrr t0, time\nsw a1, 4(a0)`);
  assert.is(calls, 2);
  return pagesOf(lab.engine.getDirtyLog(0)).includes(4);
}

test("a page that is written on while its mark is taken is marked again", async () => {
  assert.ok(isLoggedAfterHarvest(await HartLab.create()));
});

/** What LR gives, what SC gives, and the word in the end, by what comes between the two. */
function pairs(lab: HartLab): Record<string, number[]> {
  const pair = (between: string) => {
    for (const offset of [0, 4, 64]) lab.setWord(DATA + offset, 7);
    lab.execute(`li a0, ${DATA}\nlr.w a1, (a0)\n${between}\nli a2, 9\nsc.w a3, a2, (a0)`);
    return [lab.x(11), lab.x(13), lab.word(DATA)];
  };
  const result = {
    nothing: pair("nop"),
    "a store": pair("li t0, 8\nsw t0, 0(a0)"),
    "another SC": pair("sc.w t1, zero, (a0)\nsw a1, 0(a0)"),
    "another LR": pair("addi t1, a0, 64\nlr.w t0, (t1)"),
    "another address": pair("addi a0, a0, 4"),
  };
  // The layout changes between the sections: the word may be another one.
  lab.setWord(DATA, 7);
  lab.execute(`li a0, ${DATA}\nlr.w a1, (a0)`);
  lab.engine.setUserMemoryRegion(lab.slot(2, RAM, PAGE, 0, WINDOW));
  lab.execute("sc.w a3, zero, (a0)");
  return { ...result, "another layout": [lab.x(11), lab.x(13), lab.word(DATA)] };
}

const PAIRS = {
  nothing: [7, 0, 9],
  "a store": [7, 1, 8],
  "another SC": [7, 1, 7],
  "another LR": [7, 1, 7],
  "another address": [7, 1, 7],
  "another layout": [7, 1, 7],
};

test("LR and SC: the pair, and all that comes between them", async () => {
  assert.equal(pairs(await HartLab.create()), PAIRS);
});

const ENTER = "if (!FLAT && enterSection(changetype<Hart>(hart).reader)) {";

const BROKEN: readonly [what: string, mutation: Mutation, observe: Observe, wanted: unknown][] = [
  [
    "another layout goes unseen",
    {
      file: "mmu.ts",
      from: ENTER,
      to: "enterSection(changetype<Hart>(hart).reader);\n  if (false) {",
    },
    windowSeen,
    SEEN,
  ],
  [
    "every layout is another one",
    {
      file: "mmu.ts",
      from: ENTER,
      to: "enterSection(changetype<Hart>(hart).reader);\n  if (true) {",
    },
    flushCounts,
    FLUSHES,
  ],
  [
    "writes hit what reads have entered",
    { file: "mmu.ts", from: "export const WRITE: u32 = 1;", to: "export const WRITE: u32 = 0;" },
    logsOf,
    LOGS,
  ],
  [
    "reads are marked",
    { file: "mmu.ts", from: "export const READ: u32 = 0;", to: "export const READ: u32 = 1;" },
    logsOf,
    LOGS,
  ],
  [
    "the section stays open",
    { file: "mmu.ts", from: "exitSection(changetype<Hart>(hart).reader);", to: "" },
    windowSeen,
    SEEN,
  ],
  [
    "marks that are taken in the section",
    { file: "mmu.ts", from: "if (isWritten) markDirty(", to: "if (false) markDirty(" },
    isLoggedAfterHarvest,
    true,
  ],
  [
    "marks that were taken between sections",
    { file: "mmu.ts", from: "  dropTaken(hart, false);", to: "" },
    logsOf,
    LOGS,
  ],
  [
    "an SC at another address",
    { file: "amo.ts", from: "state.reservation == address &&", to: "" },
    pairs,
    PAIRS,
  ],
  [
    "a reservation that outlives its layout",
    { file: "run.ts", from: "state.reservation = NO_RESERVATION;", to: "state.reservation += 0;" },
    pairs,
    PAIRS,
  ],
];

for (const [what, mutation, observe, wanted] of BROKEN) {
  test(`noticed: ${what}`, async () => {
    assert.not.equal(observe(await HartLab.create(mutation)), wanted);
  });
}

test.run();
