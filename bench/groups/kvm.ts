/**
 * Against the real KVM: memory slots of a virtual machine without vCPUs, one ioctl per update, timed inside native
 * code; the engine from JavaScript, update by update and as lists.
 */
import { fileURLToPath } from "node:url";
import type { MemslotEngine, Slot } from "memslots";
import { readTrace } from "../../src/cli/input.js";
import { deletionOf, shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { filledEngine } from "../engine/filled.js";
import { type Addon, loadAddon } from "../engine/native.js";
import type { Case, Competitor, Entrant, Group, Results, Row, Scale, Skipped } from "../harness/case.js";

const TRACE = fileURLToPath(new URL("../../test/traces/qemu/pc-1g-reset.jsonl.gz", import.meta.url));
const KVM = "/dev/kvm, ioctl";
const ONE_BY_ONE = "engine, one by one";
const LISTS = "engine, as lists";
const BOOT = "kvm boot pc-1g-reset";
const LOG = 1;
const REGION_WORDS = 8;
/** Slots beside the filled ones that the operations work on. */
const SPARE = 16;
const SIZES = [8, 512, 4096, 32000];
/** A virtual machine with more takes seconds to fill. */
const SIZES_QUICK = [8, 4096];

/** Commits to apply in order, and the commits that undo them. */
interface Script {
  readonly forth: readonly (readonly Slot[])[];
  readonly back: readonly (readonly Slot[])[];
}

/**
 * The operations of the kernel's slot benchmarks, on `SPARE` slots of 16 pages after the filled ones.
 */
function scripts(slots: Slots): Record<string, Script> {
  const pages = 16;
  const spare = Array.from({ length: SPARE }, (_, i) => i);
  const end = slots.baseGfn[slots.count - 1]! + slots.npages[slots.count - 1]!;
  const region = (i: number, id = i, first = 0, count = pages): Slot => ({
    slot: slots.count + id,
    flags: 0,
    guestPhysAddr: (end + i * 2 * pages + first) * PAGE_BYTES,
    memorySize: count * PAGE_BYTES,
    userspaceAddr: 2 ** 40 + (i * pages + first) * PAGE_BYTES,
  });
  const gone = (id: number): Slot => deletionOf(slots.count + id);
  const each = (make: (i: number) => Slot[]): Slot[][] => spare.map(make);
  const create = each((i) => [region(i)]);
  const remove = each((i) => [gone(i)]);
  const move = (to: number): Slot[][] =>
    each((i) => [{ ...region(i), guestPhysAddr: region(i).guestPhysAddr + to * pages * PAGE_BYTES }]);
  const flags = (bits: number): Slot[][] => each((i) => [{ ...region(i), flags: bits }]);
  const half = pages / 2;
  const split = each((i) => [gone(i), region(i, i, 0, half), region(i, SPARE + i, half, half)]);
  const merge = each((i) => [gone(i), gone(SPARE + i), region(i)]);
  return {
    create: { forth: create, back: remove },
    delete: { forth: remove, back: create },
    move: { forth: move(1), back: move(0) },
    "LOG on": { forth: flags(LOG), back: flags(0) },
    "LOG off": { forth: flags(0), back: flags(LOG) },
    split: { forth: split, back: merge },
    merge: { forth: merge, back: split },
  };
}

/** Slots that must exist before the first `forth`. */
function startOf(name: string, all: Record<string, Script>): readonly (readonly Slot[])[] {
  if (name === "create") return [];
  const create = all.create!.forth;
  if (name === "LOG off") return [...create, ...all["LOG on"]!.forth];
  return name === "merge" ? [...create, ...all.split!.forth] : create;
}

function wordsOf(commits: readonly (readonly Slot[])[]): Uint32Array {
  const regions = commits.flat();
  const words = new Uint32Array(regions.length * REGION_WORDS);
  for (const [i, { slot, flags, guestPhysAddr, memorySize, userspaceAddr }] of regions.entries()) {
    words.set([slot, flags], i * REGION_WORDS);
    for (const [j, value] of [guestPhysAddr, memorySize, userspaceAddr].entries()) {
      words[i * REGION_WORDS + 2 + j * 2] = value;
      words[i * REGION_WORDS + 3 + j * 2] = value / 2 ** 32;
    }
  }
  return words;
}

function kvmCompetitor(
  addon: Addon,
  fill: readonly (readonly Slot[])[],
  script: Script,
  operations: number,
): Competitor {
  const vm = addon.createVm();
  addon.setRegions(vm, wordsOf(fill));
  const forth = wordsOf(script.forth);
  const back = wordsOf(script.back);
  let elapsed = 0;
  return {
    operations,
    batch() {
      elapsed = addon.setRegions(vm, forth) / 1e6;
      return 0;
    },
    after() {
      addon.setRegions(vm, back);
      return 0;
    },
    elapsed: () => elapsed,
  };
}

function applyOneByOne(engine: MemslotEngine, commits: readonly (readonly Slot[])[]): void {
  for (let i = 0; i < commits.length; i++) {
    const list = commits[i]!;
    for (let j = 0; j < list.length; j++) engine.setUserMemoryRegion(list[j]!);
  }
}

function applyLists(engine: MemslotEngine, commits: readonly (readonly Slot[])[]): void {
  for (let i = 0; i < commits.length; i++) engine.setUserMemoryRegionList(commits[i]!);
}

async function entrantsOf(
  fill: readonly (readonly Slot[])[],
  slots: number,
  script: Script,
  operations: number,
): Promise<(Entrant | Skipped)[]> {
  const addon = await loadAddon();
  const skipped = typeof addon === "string" ? addon : kvmMissing(addon);
  const ours = (name: string, apply: typeof applyLists): Entrant => ({
    name,
    async build() {
      const engine = await filledEngine(fill.flat(), slots);
      // A commit of some microseconds is shorter than a clock can tell: forth and back, REPEAT times.
      let ms = 0;
      return {
        operations: operations * REPEAT,
        batch() {
          ms = 0;
          for (let i = 0; i < REPEAT; i++) {
            const start = performance.now();
            apply(engine, script.forth);
            ms += performance.now() - start;
            apply(engine, script.back);
          }
          return 0;
        },
        elapsed: () => ms,
      };
    },
  });
  return [
    ours(LISTS, applyLists),
    ours(ONE_BY_ONE, applyOneByOne),
    typeof addon === "string" || skipped !== undefined
      ? { name: KVM, skipped: skipped ?? "no addon" }
      : { name: KVM, build: () => kvmCompetitor(addon, fill, script, operations) },
  ];
}

const REPEAT = 16;

/** Reason why KVM cannot be used here, undefined if it can. */
function kvmMissing(addon: Addon): string | undefined {
  const vm = addon.createVm();
  if (vm < 0) return `no usable /dev/kvm (errno ${-vm})`;
  addon.destroyVm(vm);
  return undefined;
}

function operationCase(name: string, n: number): Case {
  return {
    name: `kvm ${name}`,
    n,
    unit: name,
    rounds: 11,
    prepare() {
      const slots = makeSlots("dense", n);
      const all = scripts(slots);
      const start = startOf(name, all);
      const fill = [...shuffledRegions(slots).map((region) => [region]), ...start];
      return entrantsOf(fill, n + 2 * SPARE, all[name]!, SPARE);
    },
  };
}

async function bootEntrants(): Promise<(Entrant | Skipped)[]> {
  const trace = await readTrace(TRACE);
  const boot = trace.commits.map(({ updates }) =>
    updates.map(({ slot, flags, gpa, size, hva }) => ({
      slot,
      flags,
      guestPhysAddr: gpa,
      memorySize: size,
      userspaceAddr: hva,
    })),
  );
  const alive = new Set<number>();
  for (const { slot, memorySize } of boot.flat()) {
    if (memorySize === 0) alive.delete(slot);
    else alive.add(slot);
  }
  return entrantsOf(
    [],
    512,
    { forth: boot, back: [[...alive].map(deletionOf)].filter((list) => list.length > 0) },
    1,
  );
}

function cases({ smoke, quick }: Scale): Case[] {
  const sizes = smoke ? [8] : quick ? SIZES_QUICK : SIZES;
  const names = Object.keys(scripts(makeSlots("dense", 1)));
  return [
    ...sizes.flatMap((n) => names.map((name) => operationCase(name, n))),
    { name: BOOT, n: 91, unit: "boot", prepare: bootEntrants },
  ];
}

function rows(results: Results, { smoke }: Scale): Row[] {
  const sizes = smoke ? [8] : SIZES;
  const names = Object.keys(scripts(makeSlots("dense", 1)));
  const inverse = (name: string, n: number, ours: string) => ({
    atLeast: true,
    ...results.ratio(name, n, KVM, ours),
  });
  return [
    {
      id: "K1",
      what: `whole boot: ${KVM} / ${LISTS}`,
      n: "",
      target: 50,
      ...inverse(BOOT, 91, LISTS),
    },
    {
      id: "K2",
      what: `whole boot: ${KVM} / ${ONE_BY_ONE}`,
      n: "",
      target: 50,
      ...inverse(BOOT, 91, ONE_BY_ONE),
    },
    ...names.flatMap((name) =>
      sizes.map((n) => ({
        id: "K3",
        what: `${name}: ${KVM} / ${LISTS}`,
        n: String(n),
        target: 3,
        ...inverse(`kvm ${name}`, n, LISTS),
      })),
    ),
  ];
}

export const kvm: Group = {
  name: "kvm",
  about: "the engine against memory slots of a real KVM",
  cases,
  rows,
};
