/**
 * A worker vCPU that writes guest memory: a random page of the window of the map, a counter of its host page goes
 * up, then the page is told dirty; or it was marked before, by the fill of a TLB or of a page table. Parks when it is
 * told to.
 */
import { workerData } from "node:worker_threads";
import { guestPageTable, MemslotEngine } from "memslots";
import { random } from "../support/random.js";
import { PAGE } from "../support/region.js";
import { TLB_WRITE, TlbProbe } from "../support/tlb.js";
import { COMMAND, GO, HOME_HVA, HOSTS, type Orders, PARK, STATE, WINDOWS, WRITES } from "./world.js";

const { handle, control, ram, line, vcpus, seed, patient, way, stale } = workerData as Orders;
const engine = await MemslotEngine.attach(handle);
const vcpu = engine.vcpu(way === "tlb" ? { tlbEntries: 64 } : {});
const ahead = way === "tlb" ? throughTlb() : way === "page table" ? throughTable() : undefined;
const rng = random(seed);
/** Sections in a row that write the same pages, so that entries are hit. */
const SECTIONS_PER_PLACE = 8;
const PLACE_PAGES = 32;
/** Writes of a section at most: so many that a harvest falls into it. */
const RUN_WRITES = 64;
/** Word of the page that was written and is not told yet. */
const untold = STATE + vcpus + line;
let sections = 0;
let place = 0;

/** Writes by pages that were marked before. */
interface Ahead {
  enter(): void;
  /** Host address for a write, negative if there is none. */
  access(gpa: number): number;
  exit(): void;
}

function throughTlb(): Ahead {
  const probe = new TlbProbe(engine, vcpu);
  return {
    enter: () => void vcpu.enter(),
    access: (gpa) => probe.access(gpa, TLB_WRITE),
    exit: () => vcpu.exit(),
  };
}

function throughTable(): Ahead {
  const nothing = { unknown: undefined, answerOf: () => undefined };
  const table = guestPageTable<undefined>(engine, { vcpu, access: "write", ...nothing });
  const entries = table.entries.subarray(0, WINDOWS * HOSTS);
  let kept = entries.slice();
  return {
    enter: () => {
      if (vcpu.enter() || !stale) return;
      for (const [page, entry] of kept.entries()) if (entry > 0) entries[page] = entry;
    },
    access: (gpa) => {
      if (entries[gpa / PAGE] === 0) table.fill(gpa);
      return entries[gpa / PAGE]! - 1;
    },
    exit: () => {
      if (stale) kept = entries.slice();
      vcpu.exit();
    },
  };
}

/** A run over few pages, from one of them on to another layout: writes that find their entries. */
function runAhead({ enter, access, exit }: Ahead): void {
  if (sections++ % SECTIONS_PER_PLACE === 0) place = rng.int(WINDOWS) * HOSTS + rng.int(HOSTS - PLACE_PAGES);
  enter();
  for (let i = 1 + rng.int(RUN_WRITES); i > 0; i--) {
    const hva = access((place + rng.int(PLACE_PAGES)) * PAGE);
    if (hva >= 0) Atomics.add(ram, hva / PAGE - HOME_HVA, 1);
    Atomics.add(control, WRITES, 1);
    Atomics.notify(control, WRITES);
    if (rng.chance(0.01)) vcpu.refresh();
  }
  exit();
}

/** One section with some writes. */
function run(): void {
  vcpu.enter();
  for (let i = 1 + rng.int(6); i > 0; i--) {
    const gpa = (rng.int(WINDOWS) * HOSTS + rng.int(HOSTS)) * PAGE;
    const hva = vcpu.gpaToHva(gpa);
    if (hva < 0) continue;
    // A thread that dies between the two leaves word of it: the mark comes after the write.
    Atomics.store(control, untold, hva / PAGE - HOME_HVA + 1);
    Atomics.add(ram, hva / PAGE - HOME_HVA, 1);
    vcpu.markDirty(gpa);
    Atomics.store(control, untold, 0);
  }
  vcpu.exit();
}

for (;;) {
  while (Atomics.load(control, COMMAND) === PARK) {
    Atomics.store(control, STATE + line, PARK);
    Atomics.notify(control, STATE + line);
    Atomics.wait(control, COMMAND, PARK);
  }
  if (Atomics.exchange(control, STATE + line, GO) === PARK) Atomics.notify(control, STATE + line);
  // A patient vCPU does not run while its ring is full; now and then it does, to see what becomes of that.
  if (!patient || !vcpu.dirtyRingFull || rng.chance(0.0001)) {
    if (ahead === undefined) run();
    else runAhead(ahead);
  }
}
