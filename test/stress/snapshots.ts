/**
 * The calls that are a section by themselves, checked: each must answer from one layout, between those that
 * the clock shows before and after it.
 */
import type { MemslotEngine, Slot } from "memslots";
import { CELL_PAGES } from "./cells.js";
import { ADDRESS_SPACES, CLOCK_GPA, layoutOf, PAGE } from "./layouts.js";
import type { Station } from "./station.js";

/** Layouts between two looks that are worth comparing one by one. */
const GAP_MAX = 20;

/** The published layout, by a lookup of the calling thread. */
export function currentLayout(engine: MemslotEngine): number {
  return layoutOf(engine.gpaToHva(CLOCK_GPA));
}

function sameRegions(a: readonly Slot[], b: readonly Slot[]): boolean {
  const text = ({ slot, flags, guestPhysAddr, memorySize, userspaceAddr }: Slot) =>
    `${slot} ${flags} ${guestPhysAddr} ${memorySize} ${userspaceAddr}`;
  return a.length === b.length && a.every((region, i) => text(region) === text(b[i]!));
}

/** Ask `read`, and compare with what `expect` says for the layouts around it. */
function bracket<T>(
  { engine, board, line, violation }: Station,
  what: string,
  read: () => T,
  fits: (got: T, layout: number) => boolean,
): void {
  const first = currentLayout(engine);
  const got = read();
  const last = currentLayout(engine);
  board.count(line, "snapshots");
  if (last - first > GAP_MAX) return;
  for (let layout = first; layout <= last; layout++) if (fits(got, layout)) return;
  violation(`${what} is of no layout from ${first} to ${last}: ${JSON.stringify(got)}`);
}

function checkSlots(station: Station): void {
  const asId = station.rng.int(ADDRESS_SPACES);
  bracket(
    station,
    `slots(${asId})`,
    () => station.engine.slots(asId),
    (got, layout) => sameRegions(got, station.layouts.slots(layout, asId)),
  );
}

function checkSlot(station: Station): void {
  const { engine, layouts, rng } = station;
  const id = (rng.int(ADDRESS_SPACES) << 16) | rng.int(engine.maxSlots);
  bracket(
    station,
    `slot(${id})`,
    () => engine.slot(id),
    (got, layout) => {
      const found = layouts.slots(layout, id >> 16).filter(({ slot }) => slot === id);
      return sameRegions(got === undefined ? [] : [got], found);
    },
  );
}

/** The guest pages of a cell's host memory, through the hva index. */
function checkHosts(station: Station): void {
  const { engine, layouts, rng } = station;
  const cell = rng.pick(layouts.cells);
  const start = cell.host(cell.epoch(Math.max(1, currentLayout(engine))) >> rng.int(5)) * PAGE;
  const end = start + CELL_PAGES * PAGE;
  bracket(
    station,
    `hvaToGpas(${start}, ${end})`,
    () => engine.hvaToGpas(start, end),
    (got, layout) => {
      const expected = [0, 1].flatMap((asId) =>
        layouts
          .slots(layout, asId)
          .filter(({ userspaceAddr }) => userspaceAddr >= start && userspaceAddr < end)
          .sort((a, b) => a.userspaceAddr - b.userspaceAddr || a.slot - b.slot),
      );
      return (
        got.length === expected.length &&
        got.every(({ slot, gpa, bytes }, i) => {
          const region = expected[i]!;
          return slot === region.slot && gpa === region.guestPhysAddr && bytes === region.memorySize;
        })
      );
    },
  );
}

/** Numbers of publications and generations are those of layouts that are published already. */
function checkNumbers({ engine, violation }: Station): void {
  const first = currentLayout(engine);
  const publications = engine.publications;
  const generation = engine.generation(0) / ADDRESS_SPACES;
  const last = currentLayout(engine);
  // The clock is in address space 0 and ticks with each publication.
  for (const [name, number] of Object.entries({ publications, generation })) {
    if (number < first || number > last) violation(`${name} says ${number} between ${first} and ${last}`);
  }
}

/** One of the checks. */
export function checkSnapshot(station: Station): void {
  const kind = station.rng.int(8);
  if (kind === 0) checkSlots(station);
  else if (kind === 1) checkHosts(station);
  else if (kind <= 4) checkSlot(station);
  else checkNumbers(station);
}
