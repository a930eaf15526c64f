/**
 * A worker that damages an engine, word by word, and calls everything there is. Its shared words tell where it is, so
 * that a thread that waits for it can tell which call does not end.
 */
import { parentPort } from "node:worker_threads";
import {
  attributesOf,
  checkEngine,
  consumersOf,
  copyGuest,
  DirtyConsumer,
  DirtyRing,
  freeSlotNumbers,
  guestMemory,
  invalidateHostRange,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  KVM_MEM_GUEST_MEMFD as MEMFD,
  MemslotEngine,
  markHostRangeDirty,
  memfdsOf,
  KVM_MEMORY_ATTRIBUTE_PRIVATE as PRIVATE,
  readersOf,
  record,
  saveEngine,
  saveEngineAsync,
  takeDirtyPages,
  type Vcpu,
  type WindowChange,
} from "memslots";
import { HEADER, HEADER_BYTES } from "../../src/core/layout.js";
import { random } from "./random.js";
import { ownRegion, PAGE, region } from "./region.js";

/** Where the engine is in its memory, and what the memory holds around it and where nothing was written yet. */
export const BASE = 0x10000;
export const SIZE = 0x60000;
export const EMPTY = 0xa5a5a5a5;

/** Longer than a call takes that does not wait for its whole timeout, and far shorter than the default timeout. */
export const TIMEOUT = { timeout: 5 };

/** Errors that are told. */
const FAILURES_MAX = 20;

/** Words that the worker shares. */
export const AT = { calls: 0, ended: 1, run: 2, word: 3, value: 4, call: 5, words: 6 } as const;

/** What the worker is to do. */
export interface Orders {
  readonly seed: number;
  /** Damages, one after the other, each of an engine that is whole before. */
  readonly runs: number;
  /** The thread may sleep in calls that take a timeout; else it is one that must not, as that of a page. */
  readonly sleeps: boolean;
  /** With dirty rings beside the bitmaps. */
  readonly rings: boolean;
  /** These damages, each a byte of the engine and a word, instead of any. */
  readonly damages?: readonly (readonly [byte: number, value: number])[];
  /** Make a call that never ends after all others, to see that it is found. */
  readonly endless?: boolean;
  readonly at: Int32Array;
}

/** An engine with something of everything. */
export interface World {
  readonly engine: MemslotEngine;
  readonly vcpu: Vcpu;
  readonly consumer: DirtyConsumer;
  readonly ring: DirtyRing | undefined;
}

export async function damageWorld(rings: boolean): Promise<World> {
  const memory = new WebAssembly.Memory({ initial: 10, maximum: 10, shared: true });
  new Uint8Array(memory.buffer).fill(EMPTY & 0xff);
  const limits = { addressSpaces: 2, maxSlots: 80, maxVcpus: 3, maxListEntries: 200 };
  const engine = await MemslotEngine.create({ memory, base: BASE, size: SIZE, ...limits });
  if (rings) {
    engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
    engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
  }
  for (let i = 0; i < 40; i++) engine.setUserMemoryRegion(ownRegion(i, i * 8, 4, i % 3 === 0 ? LOG : 0));
  engine.setUserMemoryRegion(ownRegion(0x1_0002, 0, 9, LOG));
  const file = { guestMemfd: engine.createGuestMemfd(64 * PAGE), guestMemfdOffset: PAGE };
  engine.setUserMemoryRegion2({ ...ownRegion(55, 0x1800, 4, MEMFD), ...file });
  engine.setMemoryAttributes({ address: 8 * PAGE, size: PAGE, attributes: PRIVATE });
  const windows = [
    [
      { gpa: PAGE, bytes: 32, device: 4, over: true },
      { gpa: 0x500_0000, bytes: 16, device: 3 },
      { gpa: 0x600_0000, bytes: 2 * PAGE, hva: 0x900_0000, log: true },
      { gpa: 0x700_0000, bytes: 4 * PAGE, mirrorOf: 0, period: 2 * PAGE },
    ],
  ];
  engine.setUserMemoryRegionList([ownRegion(50, 0x1000, 1)], { windows });
  const consumer = new DirtyConsumer(engine, "screen", { initially: "dirty" });
  const vcpu = engine.vcpu({ tlbEntries: 64 });
  for (const gfn of [0, 3 * 8, 0x6000]) engine.markDirty(gfn * PAGE);
  vcpu.markDirty(9 * 8 * PAGE);
  consumer.begin({ hva: 0, bytes: PAGE });
  engine.gpaToHva(0, 1);
  engine.gpaToHva(0);
  return { engine, vcpu, consumer, ring: rings ? new DirtyRing(engine, 0) : undefined };
}

export const wordsOf = ({ memory }: MemslotEngine) => new Uint32Array(memory.buffer, BASE, SIZE / 4);

type Call = readonly [name: string, call: () => unknown];

/** Calls that wait for no longer than TIMEOUT. */
function briefCalls({ engine, vcpu, ring }: World): readonly Call[] {
  const windows = [[{ gpa: 0x500_0000, bytes: 16, device: 9 }]];
  const windowChanges: WindowChange[] = [
    { asId: 0, remove: 0x500_0000 },
    { asId: 0, add: { gpa: 0x510_0000, bytes: 16, device: 9 } },
  ];
  const attributes = [{ address: 9 * PAGE, size: PAGE, attributes: PRIVATE }];
  const guest = guestMemory(engine, new Uint8Array(0x2000), { vcpu, onHole: () => 0 });
  const ownGuest = guestMemory(engine, new Uint8Array(0x2000), { onHole: () => 0 });
  const [gpas, hvas] = [Float64Array.of(0, PAGE, 0x600_0000), new Float64Array(3)];
  const take = [region(3, 0, 0, 0), ownRegion(60, 0x2000, 4, LOG), ownRegion(61, 0x3000, 1)];
  return [
    ["gpaToHva", () => engine.gpaToHva(0x9000)],
    ["resolve", () => engine.resolve(0x600_0000)],
    ["locate", () => engine.locate(0x700_1000)],
    ["slots", () => [engine.slots(0), engine.slots(1)]],
    ["windows", () => engine.windows()],
    ["hvaToGpas", () => engine.hvaToGpas(0, 2 ** 40)],
    ["slot", () => [engine.slot(7), engine.slot(79)]],
    ["generation", () => [engine.generation(1), engine.publications]],
    ["memoryAttributes", () => engine.memoryAttributes(8 * PAGE)],
    ["resolvePrivate", () => engine.resolvePrivate(0x1801 * PAGE)],
    ["memfdsOf, attributesOf", () => [memfdsOf(engine), attributesOf(engine)]],
    ["readersOf", () => readersOf(engine)],
    ["freeSlotNumbers", () => freeSlotNumbers(engine, 3)],
    ["markDirty", () => [0, PAGE, 0x600_0000, 0x700_0000].map((gpa) => engine.markDirty(gpa))],
    ["markHostRangeDirty", () => markHostRangeDirty(engine, 0, 2 ** 40)],
    ["invalidateHostRange", () => invalidateHostRange(engine, 0, 2 ** 40)],
    ["vcpu.enter", () => vcpu.enter()],
    ["vcpu.gpaToHva", () => [vcpu.gpaToHva(0), vcpu.gpaToHvaRead(PAGE), vcpu.gfnToSlot(8)]],
    ["vcpu.resolve", () => [vcpu.resolve(0x700_0000), vcpu.resolvePrivate(0x1800 * PAGE)]],
    ["vcpu.translate", () => vcpu.translate(gpas, hvas)],
    ["vcpu.markDirty", () => [0, 0x600_0000].map((gpa) => vcpu.markDirty(gpa))],
    ["guestMemory in a section", () => guest.setUint32(0, guest.getUint32(PAGE) + 1)],
    ["list in a section", () => engine.setUserMemoryRegionList([ownRegion(62, 0x4000, 1)], TIMEOUT)],
    ["vcpu.refresh", () => [vcpu.refresh(), vcpu.kicked, vcpu.dirtyRingFull, vcpu.stats()]],
    [
      "vcpu.asId",
      () => {
        for (const asId of [1, 0]) vcpu.asId = asId;
      },
    ],
    ["guestMemory.read", () => guest.read(0, new Uint8Array(2 * PAGE))],
    ["vcpu.exit", () => vcpu.exit()],
    ["guestMemory", () => ownGuest.setUint16(0x7ff, ownGuest.getUint16(0) + 1)],
    ["guestMemory.write", () => ownGuest.write(0x600_0000, new Uint8Array(3 * PAGE))],
    ["copyGuest", () => copyGuest(ownGuest, 0, PAGE, 16)],
    ["harvest", () => ring?.harvest()],
    ["list", () => engine.setUserMemoryRegionList(take, { ...TIMEOUT, changed: true, windows })],
    ["list, edits", () => engine.setUserMemoryRegionList([], { ...TIMEOUT, windowChanges, attributes })],
    [
      "list, deletions",
      () => engine.setUserMemoryRegionList([region(60, 0, 0, 0), region(5, 0, 0, 0)], TIMEOUT),
    ],
    [
      "list, takeDirty",
      () => engine.setUserMemoryRegionList([region(0, 0, 0, 0)], { ...TIMEOUT, takeDirty: true }),
    ],
    [
      "list, barrier",
      () => engine.setUserMemoryRegionList([region(6, 0, 0, 0)], { ...TIMEOUT, barrier: true }),
    ],
    ["synchronize", () => engine.synchronize(TIMEOUT)],
    ["waitGeneration", () => engine.waitGeneration(engine.generation() + 1, TIMEOUT)],
    [
      "listAsync",
      () =>
        engine.setUserMemoryRegionListAsync([ownRegion(63, 0x5000, 1, LOG)], { ...TIMEOUT, takeDirty: true }),
    ],
    ["synchronizeAsync", () => engine.synchronizeAsync(TIMEOUT)],
    ["saveEngine", () => saveEngine(engine, TIMEOUT)],
    ["saveEngineAsync", () => saveEngineAsync(engine, TIMEOUT)],
  ];
}

/** Calls that a thread that may sleep makes with the default timeout. */
function patientCalls({ engine, consumer, ring }: World): readonly Call[] {
  const pages = new Uint32Array(9);
  return [
    [
      "record",
      () => {
        const stop = record(engine, () => {});
        try {
          engine.setUserMemoryRegion(ownRegion(70, 0x6800, 1, LOG));
        } finally {
          stop();
        }
      },
    ],
    ["getDirtyLog", () => engine.getDirtyLog(0)],
    ["clearDirtyLog", () => engine.clearDirtyLog(3, 0, 4, new Uint8Array(8))],
    ["takeDirtyPages", () => takeDirtyPages(engine, 0, pages)],
    ["resetDirtyRings", () => ring !== undefined && engine.resetDirtyRings()],
    ["ring.entries", () => ring?.entries()],
    ["consumersOf", () => consumersOf(engine)],
    ["consumer.begin", () => consumer.begin()],
    ["consumer.peek", () => consumer.peek()],
    ["consumer.abort", () => consumer.abort({ hva: 0, bytes: 2 * PAGE })],
    ["consumer.done", () => consumer.done()],
    ["new DirtyConsumer", () => new DirtyConsumer(engine, "backup", { initially: "dirty" }).close()],
    ["createGuestMemfd", () => engine.closeGuestMemfd(engine.createGuestMemfd(PAGE))],
    [
      "setMemoryAttributes",
      () => engine.setMemoryAttributes({ address: 0, size: PAGE, attributes: PRIVATE }),
    ],
    ["enableCap", () => engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1)],
    ["vcpu", () => engine.vcpu({ tlbEntries: 128 }).release()],
    [
      "pauseVcpus",
      () => {
        engine.pauseVcpus(TIMEOUT);
        engine.resumeVcpus();
      },
    ],
    ["attach", async () => (await MemslotEngine.attach(engine.handle)).close()],
    ["kick", () => engine.kick()],
    ["reap", () => engine.reap(77)],
    ["checkEngine", () => checkEngine(engine)],
    ["consumer.close", () => consumer.close()],
  ];
}

/** A call that never ends. */
const ENDLESS: Call = [
  "endless",
  () => {
    for (;;);
  },
];

/** The names of the calls, by their numbers. */
export const namesOf = (world: World, { sleeps }: Pick<Orders, "sleeps">): string[] =>
  callsOf(world, { sleeps, endless: true }).map(([name]) => name);

function callsOf(world: World, { sleeps, endless }: Pick<Orders, "sleeps" | "endless">): readonly Call[] {
  const all = sleeps ? briefCalls(world) : [...briefCalls(world), ...patientCalls(world)];
  return endless ? [...all, ENDLESS] : all;
}

/** Values that something else than damage could hardly make of a word. */
function damageOf(word: number, pointer: number, { int, pick }: ReturnType<typeof random>): number {
  const extremes = [0, 1, 0x10, 0x7fff_ffff, 0xffff_fff8, 0xffff_ffff, BASE, BASE + 0x4000, 2 * BASE + SIZE];
  return pick([pick(extremes), word ^ (1 << int(32)), int(2 ** 32), word + int(9) - 4, pointer]) >>> 0;
}

/**
 * A lookup that a damaged pointer leads out of the memory traps. All other errors are the library's: of damage, of a
 * stamp that is none, or of an address space that there is no more.
 */
function isKnown(error: unknown): boolean {
  if (error instanceof KvmError || error instanceof WebAssembly.RuntimeError) return true;
  return (
    error instanceof Error &&
    /^no engine at|^the engine at \d+ is of another version|^asId must be an address space of|^blocks must have/.test(
      error.message,
    )
  );
}

/** Damage an engine, and call everything. @returns errors that are none of the library's, one of a kind */
async function scribble(orders: Orders): Promise<string[]> {
  const { seed, runs, sleeps, rings, damages, at } = orders;
  const wait = Atomics.wait;
  // As on the thread of a page: an engine asks once for each thread.
  if (!sleeps) {
    Atomics.wait = () => {
      throw new TypeError("Atomics.wait cannot be called in this context");
    };
  }
  const world = await damageWorld(rings);
  Atomics.wait = wait;
  const { engine } = world;
  const words = wordsOf(engine);
  const image = words.slice();
  const used = [...image.keys()].filter((i) => image[i] !== EMPTY);
  const calls = callsOf(world, orders);
  const rng = random(seed);
  const failures = new Map<string, string>();
  for (let run = 0; run < (damages?.length ?? runs); run++) {
    // Every word of the header in turn, then any.
    const any = run < HEADER_BYTES / 4 ? run : rng.pick(used);
    const drawn = damageOf(image[any]!, BASE + rng.pick(used) * 4, rng);
    const [word, value] = damages === undefined ? [any, drawn] : [damages[run]![0] / 4, damages[run]![1]];
    // A lock that somebody holds is waited for.
    if (word === HEADER.lock / 4) continue;
    words.set(image);
    words[word] = value;
    [at[AT.run], at[AT.word], at[AT.value]] = [run, word, value];
    for (const [i, [name, call]] of calls.entries()) {
      at[AT.call] = i;
      Atomics.add(at, AT.calls, 1);
      Atomics.notify(at, AT.calls);
      try {
        await call();
      } catch (error) {
        if (isKnown(error)) continue;
        const { stack = "", message } = error as Error;
        const place = `run ${run}, word ${word}, value ${value}, ${name}`;
        const kind = `${name}: ${message.replace(/\d+/g, "0")}`;
        if (!failures.has(kind) && failures.size < FAILURES_MAX) failures.set(kind, `${place}: ${stack}`);
      }
    }
  }
  words.set(image);
  const findings = checkEngine(engine).map((finding) => `after all was undone: ${finding}`);
  return [...failures.values(), ...findings];
}

parentPort?.once("message", async (orders: Orders) => {
  let failures: string[];
  try {
    failures = await scribble(orders);
  } catch (error) {
    failures = [(error as Error).stack!];
  }
  parentPort!.postMessage(failures);
  Atomics.store(orders.at, AT.ended, 1);
  Atomics.add(orders.at, AT.calls, 1);
  Atomics.notify(orders.at, AT.calls);
});
parentPort?.postMessage("ready");
