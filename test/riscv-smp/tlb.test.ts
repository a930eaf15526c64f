/** The hart's TLB: flushed when the layout has changed and at no other time; no written page is lost to the log. */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Mutation } from "../../examples/riscv-smp/build.js";
import { EXIT } from "../../examples/riscv-smp/exports.js";
import { RAM } from "../../examples/riscv-smp/map.js";
import { HartLab, ROM } from "./lab.js";

const LOGGED = KVM_MEM_LOG_DIRTY_PAGES;
const PAGE = 0x1000;
const DATA = RAM + 0x4000;
const OTHER = RAM + 0x6000;
/** In the same entry of the TLB as DATA: 256 entries of 1 KiB. */
const ALIAS = DATA + 0x4_0000;
/** In an entry of its own, so that nothing but a flush takes it out. */
const WINDOW = 0xa000_8000;

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
  assert.equal(flushCounts(await HartLab.create("engine")), FLUSHES);
});

test("a window that changes is seen as it is now", async () => {
  assert.equal(windowSeen(await HartLab.create("engine")), SEEN);
});

test("each written page is in the log, and no other", async () => {
  assert.equal(logsOf(await HartLab.create("engine")), LOGS);
});

test("one translation for all accesses to a page in one layout", async () => {
  const lab = await HartLab.create("engine");
  load(lab, DATA);
  const before = lab.exports.misses(lab.hart);
  lab.execute(`li a0, ${DATA}\n${"lw a1, 0(a0)\nlw a1, 4(a0)\n".repeat(50)}`);
  assert.is(lab.exports.misses(lab.hart), before);
  // An access that is refused is not remembered.
  assert.is(store(lab, ROM), EXIT.store);
  assert.is(store(lab, ROM), EXIT.store);
});

type Observe = (lab: HartLab) => unknown;

const BROKEN: readonly [what: string, mutation: Mutation, observe: Observe, wanted: unknown][] = [
  [
    "the layout changes and nothing is flushed",
    { file: "tlb.ts", from: "  flushTlb(hart);\n  changetype", to: "  changetype" },
    windowSeen,
    SEEN,
  ],
  [
    "all is flushed in every section",
    {
      file: "tlb.ts",
      from: "if (!enterSection(changetype<Hart>(hart).reader)) return false;",
      to: "enterSection(changetype<Hart>(hart).reader);",
    },
    flushCounts,
    FLUSHES,
  ],
  [
    "a page is not marked when its entry goes",
    {
      file: "tlb.ts",
      from: "if (entry.write != page) retireWrite(hart, entry);",
      to: "entry.write = NO_PAGE;",
    },
    logsOf,
    LOGS,
  ],
  [
    "a page is not marked at the end of the section",
    { file: "tlb.ts", from: "entry < end;", to: "entry < hart;" },
    logsOf,
    LOGS,
  ],
  [
    "reads are marked",
    {
      file: "tlb.ts",
      from: "entry.read = page;\n  entry.bias",
      to: "entry.read = page;\n  entry.write = page;\n  entry.bias",
    },
    logsOf,
    LOGS,
  ],
];

for (const [what, mutation, observe, wanted] of BROKEN) {
  test(`noticed: ${what}`, async () => {
    assert.not.equal(observe(await HartLab.create("engine", mutation)), wanted);
  });
}

test.run();
