/**
 * Flat views: a commit after one edit of a tree, against QEMU's way, which flattens all of it anew, compares the views
 * and replaces what differs; and the first flattening.
 */
import { MemslotEngine } from "memslots";
import { A20Gate, Bar, FlatView, FlatViews, MemoryRegion } from "memslots/flatview";
import type { Case, Entrant, Group, Quartiles, Results, Row, Scale } from "../harness/case.js";

const INCREMENTAL = "views.commit, what was touched";
const ANEW = "QEMU's way, all anew";
const A20 = "topology A20 toggle";
const FLATTEN = "topology first flattening";
const FLATNESS = "topology BAR move, flatness";
const FLATTENED = "FlatView.of";
const SIZES = [16, 256, 4000];
const SMOKE_SIZES = [16, 64];
const COMMITS = 512;
const PAGE = 0x1000;
const HOST = 0x1_0000_0000;
/** Registers, or video memory. */
type Kind = "device" | "memory";
const KINDS: readonly Kind[] = ["device", "memory"];

const moveCase = (kind: Kind): string => `topology BAR of ${kind}, moved`;

function regionOf(kind: Kind, i: number): MemoryRegion {
  return kind === "device"
    ? MemoryRegion.io(`device${i}`, PAGE, i)
    : MemoryRegion.ramDevice(`memory${i}`, PAGE, HOST + 2 * i * PAGE);
}

/** A bus with `n` regions, a page each, two pages apart. */
function busOf(kind: Kind, n: number): MemoryRegion {
  const system = MemoryRegion.container("system", 2n ** 64n);
  const pci = MemoryRegion.container("pci", 2n ** 64n);
  system.addSubregion(0, pci, -1);
  for (let i = 0; i < n; i++) pci.addSubregion(3 * i * PAGE, regionOf(kind, i));
  return system;
}

async function viewsOf(root: MemoryRegion): Promise<{ engine: MemslotEngine; views: FlatViews }> {
  const engine = await MemslotEngine.create({ maxSlots: 8192, maxListEntries: 16384 });
  const views = new FlatViews(engine);
  views.set(root);
  return { engine, views };
}

/** Slots and windows as a number. */
function sumOf(engine: MemslotEngine): number {
  const slots = engine
    .slots()
    .reduce((sum, { guestPhysAddr, memorySize }) => sum + guestPhysAddr + memorySize, 0);
  return engine.windows().reduce((sum, { gpa, bytes }) => sum + gpa + bytes, slots);
}

/** Commits of `edit`, by what it touches or by a view made anew. */
async function entrant(
  name: string,
  root: MemoryRegion,
  commits: number,
  edit: (i: number) => void,
): Promise<Entrant> {
  const { engine, views } = await viewsOf(root);
  const commit =
    name === ANEW
      ? (i: number) => {
          edit(i);
          views.set(FlatView.of(root));
        }
      : (i: number) => {
          views.begin();
          edit(i);
          views.commit();
        };
  return {
    name,
    build: () => ({
      operations: commits,
      batch() {
        for (let i = 0; i < commits; i++) commit(i);
        return 0;
      },
      after: () => sumOf(engine),
    }),
  };
}

function moving(name: string, kind: Kind, n: number, commits: number): Promise<Entrant> {
  const root = busOf(kind, n);
  const [pci] = root.subregions;
  const bar = new Bar(pci!, regionOf(kind, n));
  return entrant(name, root, commits, (i) => bar.map((3 * ((7 * i) % n) + 1) * PAGE));
}

function toggling(name: string, commits: number): Promise<Entrant> {
  const system = MemoryRegion.container("system", 2n ** 64n);
  system.addSubregion(0, MemoryRegion.ram("ram", 0x800_0000, HOST));
  const gate = new A20Gate(system);
  return entrant(name, gate.root, commits, (i) => gate.setOpen(i % 2 === 0));
}

function flattening(n: number): Entrant {
  const root = busOf("memory", n);
  return {
    name: FLATTENED,
    build: () => ({ operations: 1, batch: () => FlatView.of(root).ranges.length }),
  };
}

function sizesOf({ smoke }: Scale): readonly number[] {
  return smoke ? SMOKE_SIZES : SIZES;
}

function cases(scale: Scale): Case[] {
  const sizes = sizesOf(scale);
  const largest = sizes.at(-1)!;
  const commits = scale.smoke ? 8 : COMMITS;
  return [
    ...KINDS.flatMap((kind) =>
      sizes.map((n) => ({
        name: moveCase(kind),
        n,
        unit: "commit",
        prepare: () =>
          Promise.all([
            moving(INCREMENTAL, kind, n, commits),
            // So many as take as long.
            moving(ANEW, kind, n, Math.max(8, Math.round(commits / n))),
          ]).then(([ours, anew]) => [
            { ...ours, tag: "incremental" },
            { ...anew, tag: "anew" },
          ]),
      })),
    ),
    ...KINDS.map((kind) => ({
      name: `${FLATNESS}, ${kind}`,
      n: largest,
      unit: "commit",
      prepare: async () => {
        const few = await moving(sized(sizes[0]!), kind, sizes[0]!, commits);
        const many = await moving(sized(largest), kind, largest, commits);
        return [few, many].map((one) => ({ ...one, tag: one.name }));
      },
    })),
    {
      name: A20,
      n: 1,
      unit: "commit",
      prepare: () => Promise.all([toggling(INCREMENTAL, commits), toggling(ANEW, commits)]),
    },
    ...sizes.map((n) => ({ name: FLATTEN, n, unit: "view", prepare: async () => [flattening(n)] })),
  ];
}

const sized = (n: number): string => `${n} regions`;

function rows(results: Results, scale: Scale): Row[] {
  const sizes = sizesOf(scale);
  const [few, largest] = [sizes[0]!, sizes.at(-1)!];
  const nLogN = (n: number): number => n * Math.log2(n);
  return [
    ...KINDS.flatMap((kind): Row[] => [
      ...sizes.map((n) => ({
        id: "V1",
        what: `${moveCase(kind)}: ${INCREMENTAL} / ${ANEW}`,
        n: String(n),
        target: 1,
        ...results.ratio(moveCase(kind), n, INCREMENTAL, ANEW),
      })),
      {
        id: "V2",
        what: `${moveCase(kind)}: ${sized(largest)} / ${sized(few)}`,
        n: "",
        target: 8,
        ...results.ratio(`${FLATNESS}, ${kind}`, largest, sized(largest), sized(few)),
      },
    ]),
    {
      id: "V3",
      what: `${A20}: ${INCREMENTAL} / ${ANEW}`,
      n: "",
      // The tree has three regions: all of it costs hardly more than what was touched, and the way there must not cost.
      target: 1.15,
      ...results.ratio(A20, 1, INCREMENTAL, ANEW),
    },
    {
      id: "V4",
      what: `${FLATTEN}: ${sized(largest)} / ${sized(sizes.at(-2)!)}, over n log n`,
      n: "",
      target: 1.5,
      measured: scaled(
        results.ratioOf([FLATTEN, largest, FLATTENED], [FLATTEN, sizes.at(-2)!, FLATTENED]).measured,
        nLogN(sizes.at(-2)!) / nLogN(largest),
      ),
    },
  ];
}

function scaled(quartiles: Quartiles | undefined, factor: number): Quartiles | undefined {
  if (quartiles === undefined) return undefined;
  const [low, median, high] = quartiles;
  return [low * factor, median * factor, high * factor];
}

export const topology: Group = {
  name: "topology",
  about: "flat views: one edit of a tree of regions, and the first flattening",
  cases,
  rows,
};
