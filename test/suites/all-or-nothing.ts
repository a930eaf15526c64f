/**
 * A refused list leaves no trace, whichever entry is the bad one: every lookup, dirty bit and generation as
 * before.
 */
import * as assert from "uvu/assert";
import type { ErrnoCode } from "../../src/kvm/errno.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type UserspaceMemoryRegion } from "../../src/kvm/uapi.js";
import {
  behaviour,
  type Create,
  enableManualProtect,
  errnoOf,
  type Implementation,
  throwsErrno,
} from "../support/implementation.js";
import { deletion, ownRegion, PAGE, slotNumber } from "../support/region.js";
import { type Snapshot, snapshot } from "../support/snapshot.js";

const LOG = KVM_MEM_LOG_DIRTY_PAGES;
const END_GFN = 40;

function look(vm: Implementation): Snapshot {
  return snapshot(vm, { pageShift: 12, startGfn: 0, endGfn: END_GFN, edges: 16, dirty: true });
}

const START = [
  ownRegion(1, 0, 4, LOG),
  ownRegion(2, 4, 4, LOG),
  ownRegion(3, 10, 2, KVM_MEM_READONLY),
  ownRegion(4, 16, 8),
  ownRegion(slotNumber(1, 1), 0, 8, LOG),
];

/** One of each kind of change, in both address spaces; every prefix of it is a list in its own right. */
const GOOD = [
  ownRegion(1, 4, 4, LOG),
  ownRegion(2, 0, 4),
  deletion(3),
  ownRegion(7, 10, 4, LOG),
  ownRegion(slotNumber(1, 1), 20, 8, LOG),
  ownRegion(slotNumber(1, 2), 0, 2),
  deletion(4),
  ownRegion(4, 16, 2, LOG),
];

const BAD: [string, UserspaceMemoryRegion, ErrnoCode][] = [
  ["a delete of a missing slot", deletion(9), "EINVAL"],
  ["a misaligned gpa", { ...ownRegion(9, 30, 1), guestPhysAddr: 30 * PAGE + 1 }, "EINVAL"],
  ["an unknown flag", ownRegion(9, 30, 1, 8), "EINVAL"],
  ["an id out of range", ownRegion(16, 30, 1), "EINVAL"],
  ["an address space out of range", ownRegion(slotNumber(2, 0), 30, 1), "EINVAL"],
  ["an overlap with a slot that stays", ownRegion(9, 39, 1), "EEXIST"],
  ["a gpa beyond the highest", ownRegion(9, 2 ** 40, 1), "EINVAL"],
];

export function allOrNothingSuite(name: string, create: Create): void {
  const options = { addressSpaces: 2, maxSlots: 16 };

  function start(vm: Implementation): void {
    enableManualProtect(vm);
    vm.setUserMemoryRegionList([...START, ownRegion(5, 38, 2)]);
    for (const gfn of [0, 3, 5, 16]) vm.markDirty(gfn * PAGE);
    vm.markDirty(7 * PAGE, 1);
  }

  behaviour(`${name} all-or-nothing`, create, (check) => {
    check("the list without the bad entry succeeds", options, (vm) => {
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
