/**
 * One seeded run of random operations through two implementations. After every operation their results, all
 * lookups over the window and around each slot, slots, generations and (where it may be observed) dirty bits
 * must be equal.
 */
import {
  encodeUserspaceMemoryRegion,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  type UserspaceMemoryRegion,
} from "../../src/kvm/uapi.js";
import { bitmapOf, dirtyPages } from "./bitmap.js";
import { firstDifference } from "./difference.js";
import { type Create, type Implementation, isKvmError } from "./implementation.js";
import { OpenSection } from "./opensection.js";
import { random } from "./random.js";
import { slotNumber } from "./region.js";
import { snapshot, type Window } from "./snapshot.js";
import { type Op, Swarm } from "./swarm.js";
import { drawShape, type Shape } from "./swarmshape.js";

/** Pages of a window that are compared one by one; beyond them, only the edges of slots. */
const WINDOW_PAGES_MAX = 64;
/** Slots whose edges are compared in one step. */
const EDGES_MAX = 24;

export interface Run {
  seed: number;
  steps: number;
  subject: Create;
  oracle: Create;
}

/** Number of times an operation was done, and succeeded: a run of refusals alone tests nothing. */
export type Tally = Map<string, { done: number; accepted: number }>;

/** `open`: address space of a read section that stays open over the operation. */
type Logged = Op & { open?: number };

export class Divergence extends Error {
  override readonly name = "Divergence";
}

/** @throws Divergence with the operations up to the first difference. */
export async function runDifferential(run: Run, tally: Tally = new Map()): Promise<void> {
  const draw = random(run.seed);
  const shape = drawShape(draw);
  const [subject, oracle] = await Promise.all([run.subject(shape.options), run.oracle(shape.options)]);
  const swarm = new Swarm(draw, shape, oracle);
  const log: Logged[] = [];
  const both = (what: string, ask: (vm: Implementation) => unknown): unknown => {
    const expected = ask(oracle);
    const difference = firstDifference(ask(subject), expected, what);
    if (difference) throw new Divergence(report(run.seed, shape, log, difference));
    return expected;
  };
  const step = (op: Op): void => {
    // Dirty pages go over to new logs at the publication, and again when the replaced layout is recycled; those that
    // are taken in between are told twice (carry.ts), and the model tells them once.
    if (op.op === "getDirtyLog" || op.op === "clearDirtyLog") subject.synchronize?.();
    const open = draw.chance(shape.openSection) ? draw.int(shape.options.addressSpaces) : undefined;
    log.push(open === undefined ? op : { ...op, open });
    const sections = [subject, oracle].flatMap((vm) =>
      open === undefined ? [] : [new OpenSection(vm, open, windowOf(shape, log.length))],
    );
    const result = both("result", (vm) => outcome(() => applyOp(vm, op)));
    count(tally, op, result);
    const gpa = swarm.drawGpa();
    for (const section of sections) {
      const difference = section.difference();
      if (difference) throw new Divergence(report(run.seed, shape, log, difference));
      section.markDirty(gpa);
      section.close();
    }
    both("state", (vm) => snapshot(vm, windowOf(shape, log.length)));
    const { start, end } = swarm.drawHvaRange();
    both(`hvaToGpas(${start}, ${end})`, (vm) => vm.hvaToGpas(start, end));
  };
  try {
    if (shape.observeDirty) step({ op: "manualProtect", arg: draw.pick([1, 3]) });
    for (const op of swarm.populate()) step(op);
    for (let i = 0; i < run.steps; i++) step(swarm.next());
    both("end", (vm) => snapshot(vm, { ...windowOf(shape, log.length), edges: Number.POSITIVE_INFINITY }));
    both("dirty", (vm) => allDirtyLogs(vm, shape));
    both("hvaToGpas", (vm) => vm.hvaToGpas(0, 2 ** 47 - 2 ** shape.options.pageShift));
  } finally {
    subject.close();
    oracle.close();
  }
}

function applyOp(vm: Implementation, op: Op): unknown {
  switch (op.op) {
    case "set":
      return void vm.setUserMemoryRegion(encode(op.region, op.form));
    case "set2":
      return void vm.setUserMemoryRegion2(op.form === "bigint" ? asBigints(op.region) : op.region);
    case "list":
      return listGeneration(vm, op.regions);
    case "getDirtyLog":
      return dirtyLog(vm, op.slot);
    case "clearDirtyLog":
      return void vm.clearDirtyLog(op.slot, op.firstPage, op.numPages, bitmapOf(op.pages, op.numPages));
    case "manualProtect":
      return void vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, op.arg);
    case "markDirty":
      return void vm.markDirty(op.gpa, op.asId);
    case "hvaToGpas":
      return vm.hvaToGpas(op.start, op.end);
  }
}

/** A result, or the errno and the entry of a refusal; any other error is a defect of the implementation. */
function outcome(call: () => unknown): unknown {
  try {
    return { value: call() };
  } catch (error) {
    if (isKvmError(error)) return { errno: error.errno, code: error.code, index: error.index };
    return { thrown: String(error) };
  }
}

function encode(
  region: UserspaceMemoryRegion,
  form: "number" | "bigint" | "bytes",
): UserspaceMemoryRegion | Uint8Array {
  if (form === "bytes") return encodeUserspaceMemoryRegion(region);
  return form === "bigint" ? asBigints(region) : region;
}

function asBigints(region: UserspaceMemoryRegion): UserspaceMemoryRegion {
  const { guestPhysAddr, memorySize, userspaceAddr } = region;
  return {
    ...region,
    guestPhysAddr: BigInt(guestPhysAddr),
    memorySize: BigInt(memorySize),
    userspaceAddr: BigInt(userspaceAddr),
  };
}

/** An empty list belongs to no address space, so its generation is not compared. */
function listGeneration(vm: Implementation, regions: UserspaceMemoryRegion[]): number | undefined {
  const { generation } = vm.setUserMemoryRegionList(regions);
  return regions.length > 0 ? generation : undefined;
}

function dirtyLog(vm: Implementation, slot: number): { bytes: number; pages: number[] } {
  const bitmap = vm.getDirtyLog(slot);
  return { bytes: bitmap.byteLength, pages: dirtyPages(bitmap) };
}

function allDirtyLogs(vm: Implementation, shape: Shape): unknown[] {
  const { addressSpaces, maxSlots } = shape.options;
  return Array.from({ length: addressSpaces * maxSlots }, (_, i) =>
    outcome(() => dirtyLog(vm, slotNumber(i % addressSpaces, Math.floor(i / addressSpaces)))),
  );
}

function windowOf(shape: Shape, turn: number): Window {
  return {
    pageShift: shape.options.pageShift,
    startGfn: Math.max(shape.startGfn - 1, 0),
    endGfn: shape.startGfn + Math.min(shape.windowPages, WINDOW_PAGES_MAX) + 1,
    edges: EDGES_MAX,
    turn,
    dirty: shape.observeDirty,
  };
}

function count(tally: Tally, op: Op, result: unknown): void {
  const entry = tally.get(op.op) ?? { done: 0, accepted: 0 };
  entry.done++;
  if (Object.hasOwn(result as object, "value")) entry.accepted++;
  tally.set(op.op, entry);
}

function report(seed: number, shape: Shape, log: Logged[], difference: string): string {
  const bigints = (_: string, value: unknown) =>
    typeof value === "bigint" ? `0x${value.toString(16)}` : value;
  return [
    `operation ${log.length} of seed ${seed}: ${difference}`,
    `options ${JSON.stringify(shape.options)}`,
    ...log.map((op, i) => `${i + 1}: ${JSON.stringify(op, bigints)}`),
    `replay: SEED=${seed} RUNS=1 node --import tsx test/unit/oracle/differential.test.ts`,
  ].join("\n");
}
