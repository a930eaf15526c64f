/**
 * A refused list leaves no trace, whichever entry is the bad one: every lookup, dirty bit and generation as
 * before.
 */
import * as assert from "uvu/assert";
import type { ErrnoCode } from "../../src/errno.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type MemoryRegion } from "../../src/uapi.js";
import {
  behaviour,
  type Create,
  deletion,
  enableManualProtect,
  errnoOf,
  type Implementation,
  PAGE_SIZE,
  region,
  slotNumber,
  throwsErrno,
} from "../support/implementation.js";
import { type Snapshot, snapshot } from "../support/snapshot.js";

const LOG = KVM_MEM_LOG_DIRTY_PAGES;
const END_GFN = 40;

function pages(slot: number, gfn: number, npages: number, flags = 0): MemoryRegion {
  return region(slot, flags, gfn * PAGE_SIZE, npages * PAGE_SIZE, (slot % 0x1_0000) * 0x100_0000);
}

function look(vm: Implementation): Snapshot {
  return snapshot(vm, { pageShift: 12, startGfn: 0, endGfn: END_GFN, edges: 16, dirty: true });
}

const START = [
  pages(1, 0, 4, LOG),
  pages(2, 4, 4, LOG),
  pages(3, 10, 2, KVM_MEM_READONLY),
  pages(4, 16, 8),
  pages(slotNumber(1, 1), 0, 8, LOG),
];

/** One of each kind of change, in both address spaces; every prefix of it is a list in its own right. */
const GOOD = [
  pages(1, 4, 4, LOG),
  pages(2, 0, 4),
  deletion(3),
  pages(7, 10, 4, LOG),
  pages(slotNumber(1, 1), 20, 8, LOG),
  pages(slotNumber(1, 2), 0, 2),
  deletion(4),
  pages(4, 16, 2, LOG),
];

const BAD: [string, MemoryRegion, ErrnoCode][] = [
  ["a delete of a missing slot", deletion(9), "EINVAL"],
  ["a misaligned gpa", { ...pages(9, 30, 1), guestPhysAddr: 30 * PAGE_SIZE + 1 }, "EINVAL"],
  ["an unknown flag", pages(9, 30, 1, 8), "EINVAL"],
  ["an id out of range", pages(16, 30, 1), "EINVAL"],
  ["an address space out of range", pages(slotNumber(2, 0), 30, 1), "EINVAL"],
  ["an overlap with a slot that stays", pages(9, 39, 1), "EEXIST"],
  ["a gpa beyond the highest", pages(9, 2 ** 40, 1), "EINVAL"],
];

export function allOrNothingSuite(name: string, create: Create): void {
  const options = { addressSpaces: 2, maxSlots: 16 };

  function start(vm: Implementation): void {
    enableManualProtect(vm);
    vm.setUserMemoryRegionList([...START, pages(5, 38, 2)]);
    for (const gfn of [0, 3, 5, 16]) vm.markDirty(gfn * PAGE_SIZE);
    vm.markDirty(7 * PAGE_SIZE, 1);
  }

  behaviour(`${name} all-or-nothing`, create, (check) => {
    check("the good list is good", options, (vm) => {
      start(vm);
      const before = look(vm);
      vm.setUserMemoryRegionList(GOOD);
      assert.is(vm.publications, before.publications + 1);
      assert.not.equal(look(vm), before);
    });

    for (const [what, bad, code] of BAD) {
      check(`${what} at any position undoes the whole list`, options, (vm) => {
        start(vm);
        const before = look(vm);
        for (let index = 0; index <= GOOD.length; index++) {
          const entries = [...GOOD.slice(0, index), bad, ...GOOD.slice(index)];
          throwsErrno(() => vm.setUserMemoryRegionList(entries), code, index);
          assert.equal(look(vm), before, `after a refusal at entry ${index}`);
        }
        assert.is(
          errnoOf(() => vm.setUserMemoryRegionList(GOOD)),
          0,
          "and the good list still goes through",
        );
      });
    }

    check("a hundred refusals cost nothing", options, (vm) => {
      start(vm);
      const before = look(vm);
      for (let i = 0; i < 100; i++)
        throwsErrno(() => vm.setUserMemoryRegionList([...GOOD, deletion(9)]), "EINVAL", 8);
      assert.equal(look(vm), before);
      vm.setUserMemoryRegionList(GOOD);
    });
  });
}
