/** From a view to slots and windows, and from slots to slots by the shortest list. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FlatView } from "../../../src/flatview/flatview.js";
import { mappingOf } from "../../../src/flatview/mapping.js";
import { MemoryRegion } from "../../../src/flatview/memoryregion.js";
import { planList } from "../../../src/flatview/plan.js";
import { SlotNumbers } from "../../../src/flatview/slotnumbers.js";
import { PAGE } from "../../support/region.js";

const OPTIONS = { pageShift: 12, maxPhysAddrBits: 52, protectSections: false };
const ram = (name: string, size: number, host: number) => MemoryRegion.ram(name, size, host);

test("part-pages of memory are windows; what continues is joined before it is cut", () => {
  const system = MemoryRegion.container("system", 2n ** 64n);
  system.addSubregion(0x800, ram("a", 0x1000, 0x10_0800));
  system.addSubregion(0x1800, ram("b", 0x1900, 0x10_1800));
  system.addSubregion(0x8001, ram("crooked", 0x2000, 0x20_0000));
  assert.equal(mappingOf(FlatView.of(system), OPTIONS), {
    slots: [{ guestPhysAddr: 0x1000, memorySize: 0x2000, userspaceAddr: 0x10_1000, flags: 0 }],
    windows: [
      { gpa: 0x800, bytes: 0x800, hva: 0x10_0800, readonly: false },
      { gpa: 0x3000, bytes: 0x100, hva: 0x10_3000, readonly: false },
      { gpa: 0x8001, bytes: 0x2000, hva: 0x20_0000, readonly: false },
    ],
  });
});

test("a slot that grows or shrinks at either end keeps its number, if the memory stays the same", () => {
  const slot = (gpa: number, bytes: number, host: number) => ({
    guestPhysAddr: gpa,
    memorySize: bytes,
    userspaceAddr: host,
    flags: 0,
  });
  const mapped = [{ ...slot(0x4000, 0x4000, 0x10_4000), slot: 5 }];
  const numberOf = (to: ReturnType<typeof slot>) =>
    planList(mapped, [to], 0, new SlotNumbers(8)).slots[0]!.slot;
  assert.is(numberOf(slot(0x4000, 0x6000, 0x10_4000)), 5, "up");
  assert.is(numberOf(slot(0x2000, 0x6000, 0x10_2000)), 5, "down");
  assert.is(numberOf(slot(0x6000, 0x2000, 0x10_6000)), 5, "cut off below");
  assert.is(numberOf(slot(0x2000, 0x6000, 0x20_0000)), 0, "other memory, up to the same byte");
  assert.is(numberOf(slot(0x4000, 0x6000, 0x20_0000)), 0, "other memory, from the same byte");
  assert.is(numberOf(slot(0x2000, 0x8000, 0x10_2000)), 0, "neither end stays");
});

test("the list is as short as any: all layouts of 3 pages, checked by breadth-first search", () => {
  // States: slots of up to 3 ids on 3 guest pages, 3 host pages, flags none or READONLY or LOG.
  interface S {
    guestPhysAddr: number;
    memorySize: number;
    userspaceAddr: number;
    flags: number;
  }
  const regions: S[] = [];
  for (let g = 0; g < 3; g++)
    for (let n = 1; n <= 2 && g + n <= 3; n++)
      for (const h of [1, 2])
        for (const flags of [0, 1, 2])
          regions.push({ guestPhysAddr: g * PAGE, memorySize: n * PAGE, userspaceAddr: h * PAGE, flags });
  const overlap = (a: S, b: S) =>
    a.guestPhysAddr < b.guestPhysAddr + b.memorySize && b.guestPhysAddr < a.guestPhysAddr + a.memorySize;
  const layouts: S[][] = [[]];
  for (const a of regions) {
    layouts.push([a]);
    for (const b of regions) if (b.guestPhysAddr > a.guestPhysAddr && !overlap(a, b)) layouts.push([a, b]);
  }
  const key = (slots: readonly (S | undefined)[]) =>
    slots
      .filter((s) => s !== undefined)
      .map((s) => `${s.guestPhysAddr},${s.memorySize},${s.userspaceAddr},${s.flags}`)
      .sort()
      .join(" ");
  const number = new Map(regions.map((region, i) => [key([region]), i]));
  // One entry on one id: delete; create; move or flags if size, host and READONLY are the same.
  const next = (state: readonly number[]): number[][] => {
    const states: number[][] = [];
    state.forEach((at, id) => {
      const set = (to: number) => states.push(state.map((other, i) => (i === id ? to : other)));
      if (at >= 0) set(-1);
      regions.forEach((to, i) => {
        const from = regions[at];
        const allowed =
          from === undefined ||
          (from.memorySize === to.memorySize &&
            from.userspaceAddr === to.userspaceAddr &&
            ((from.flags ^ to.flags) & 2) === 0);
        if (allowed && i !== at) set(i);
      });
    });
    return states;
  };
  // Overlaps on the way are allowed, so the search is a bound from below.
  const distances = (start: readonly number[], ids: number): Map<string, number> => {
    const padded = [...start, ...Array.from({ length: ids - start.length }, () => -1)];
    const seen = new Map([[padded.join(), 0]]);
    const best = new Map<string, number>();
    let frontier = [padded];
    for (let depth = 0; frontier.length > 0 && depth <= 3; depth++) {
      const reached: number[][] = [];
      for (const state of frontier) {
        const name = key(state.map((i) => regions[i]));
        if (!best.has(name)) best.set(name, depth);
        if (depth === 3) continue;
        for (const to of next(state)) {
          if (seen.has(to.join())) continue;
          seen.set(to.join(), depth + 1);
          reached.push(to);
        }
      }
      frontier = reached;
    }
    return best;
  };
  let compared = 0;
  for (let i = 0; i < layouts.length; i += 29) {
    const from = layouts[i]!;
    const best = distances(
      from.map((slot) => number.get(key([slot]))!),
      2,
    );
    for (const to of layouts) {
      const mapped = from.map((slot, id) => ({ ...slot, slot: id }));
      const { list } = planList(mapped, to, 0, new SlotNumbers(8));
      const known = best.get(key(to));
      assert.is(list.length, known ?? 4, `${key(from)} -> ${key(to)}`);
      compared++;
    }
  }
  assert.ok(compared > 1500, `${compared} pairs`);
});

test.run();
