/** Reporting a written page to the engine, against setting its bit in TypeScript. */
import { DirtyRing, KVM_CAP_DIRTY_LOG_RING, MemslotEngine, takeDirtyPages } from "memslots";
import { createWords, harvestWords, markAtomics, markWords, PAGE, randomGpas } from "../data/bitmaps.js";
import type { Case, Competitor, Entrant, Results, Row, Scale } from "../harness/case.js";

const BITMAP = "dirty marking";
const VCPU = "vcpu.markDirty in a section";
const ONE_SHOT = "engine.markDirty";
const RING = "dirty marking with rings";
const PLAIN = "TypeScript, words";
const ATOMIC = "TypeScript, words with Atomics";
/** More than the marks of a batch. */
const RING_ENTRIES = 65536;

/** Adjacent logged slots of `pages` pages each. */
export async function loggedEngine(pages: number, slots: number, ring: boolean): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ maxSlots: slots });
  if (ring) engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_ENTRIES * 16);
  const memorySize = pages * PAGE;
  const regions = Array.from({ length: slots }, (_, slot) => ({
    slot,
    flags: 1,
    guestPhysAddr: slot * memorySize,
    memorySize,
    userspaceAddr: slot * memorySize,
  }));
  engine.setUserMemoryRegionList(regions);
  return engine;
}

/** Mark `gpas` in a loop; untimed after it, the number of pages that are dirty. */
function marker(gpas: Float64Array, markAll: () => void, count: () => number): Competitor {
  return {
    operations: gpas.length,
    batch() {
      markAll();
      return 0;
    },
    after: count,
  };
}

/** Pages in ring 0, each counted once. */
function countRing(engine: MemslotEngine): number {
  const { entries } = new DirtyRing(engine, 0).harvest();
  engine.resetDirtyRings();
  return new Set(entries.map(({ offset }) => offset)).size;
}

async function vcpuMarker(ring: boolean, pages: number, gpas: Float64Array): Promise<Competitor> {
  const engine = await loggedEngine(pages, 1, ring);
  const into = new Uint32Array(pages);
  const vcpu = engine.vcpu();
  const markAll = (): void => {
    vcpu.enter();
    for (let i = 0; i < gpas.length; i++) vcpu.markDirty(gpas[i]!);
    vcpu.exit();
  };
  return marker(gpas, markAll, () => (ring ? countRing(engine) : takeDirtyPages(engine, 0, into)));
}

async function oneShotMarker(pages: number, gpas: Float64Array): Promise<Competitor> {
  const engine = await loggedEngine(pages, 1, false);
  const into = new Uint32Array(pages);
  const markAll = (): void => {
    for (let i = 0; i < gpas.length; i++) engine.markDirty(gpas[i]!);
  };
  return marker(gpas, markAll, () => takeDirtyPages(engine, 0, into));
}

function ofBitmap(
  name: string,
  pages: number,
  gpas: Float64Array,
  mark: (words: Uint32Array, gpas: Float64Array) => void,
): Entrant {
  return {
    name,
    build() {
      const words = createWords(pages, name === ATOMIC);
      const into = new Uint32Array(pages);
      return marker(
        gpas,
        () => mark(words, gpas),
        () => harvestWords(words, into),
      );
    },
  };
}

export function markCases(pages: number, { jsKeys }: Scale): Case[] {
  const gpas = randomGpas(pages, jsKeys);
  const atomics = ofBitmap(ATOMIC, pages, gpas, markAtomics);
  const one = (name: string, entrants: Entrant[]): Case => ({
    name,
    n: pages,
    unit: "page marked",
    prepare: async () => entrants,
  });
  return [
    one(BITMAP, [
      { name: VCPU, build: () => vcpuMarker(false, pages, gpas) },
      { name: ONE_SHOT, build: () => oneShotMarker(pages, gpas) },
      ofBitmap(PLAIN, pages, gpas, markWords),
      atomics,
    ]),
    one(RING, [{ name: VCPU, build: () => vcpuMarker(true, pages, gpas) }, atomics]),
  ];
}

export function markRows(results: Results, pages: number): Row[] {
  const row = (name: string, theirs: string, target: number): Row => ({
    id: "D1",
    what: `${name}: ${VCPU} / ${theirs}`,
    n: String(pages),
    target,
    ...results.ratio(name, pages, VCPU, theirs),
  });
  return [row(BITMAP, PLAIN, 4.5), row(BITMAP, ATOMIC, 1.7), row(RING, ATOMIC, 2.2)];
}
