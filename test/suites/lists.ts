/**
 * A list of updates is one change: what it may do that single updates cannot, and how it is refused as a
 * whole.
 */
import * as assert from "uvu/assert";
import {
  HVA_BAD,
  KVM_CAP_USER_MEMORY_REGION_LIST,
  KVM_MEM_LOG_DIRTY_PAGES,
  type UserspaceMemoryRegion,
} from "../../src/kvm/uapi.js";
import { behaviour, type Create, type Implementation, throwsErrno } from "../support/implementation.js";
import { deletion, ownRegion, PAGE, region, slotNumber } from "../support/region.js";

const LOG = KVM_MEM_LOG_DIRTY_PAGES;

/** Slot ids by page of a window, "." where nothing is mapped. */
function layout(vm: Implementation, endGfn: number, asId = 0): string {
  const vcpu = vm.vcpu({ asId });
  vcpu.enter();
  const ids = [...Array(endGfn).keys()].map((gfn) => vcpu.gfnToSlot(gfn));
  vcpu.exit();
  vcpu.release();
  return ids.map((slot) => (slot < 0 ? "." : slot % 0x1_0000)).join("");
}

function set(vm: Implementation, ...entries: UserspaceMemoryRegion[]): void {
  vm.setUserMemoryRegionList(entries);
}

/** Runs a list that must have no effect at all. */
function setWithoutEffect(vm: Implementation, ...entries: UserspaceMemoryRegion[]): void {
  const { publications } = vm;
  const generation = vm.generation(0);
  const before = vm.slots(0);
  set(vm, ...entries);
  assert.is(vm.publications, publications);
  assert.is(vm.generation(0), generation);
  assert.equal(vm.slots(0), before);
}

export function listsSuite(name: string, create: Create): void {
  behaviour(`${name} lists`, create, (check) => {
    check("a list is one publication", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2), ownRegion(2, 2, 2), ownRegion(3, 4, 2));
      assert.is(layout(vm, 7), "112233.");
      assert.is(vm.publications, 1);
      assert.is(vm.generation(0), 1);
      set(vm, deletion(1), ownRegion(2, 0, 2), deletion(3));
      assert.is(layout(vm, 7), "22.....");
      assert.is(vm.publications, 2);
      assert.is(vm.generation(0), 2);
    });

    check("a list returns the generation that it made", {}, (vm) => {
      assert.is(vm.setUserMemoryRegionList([ownRegion(1, 0, 1)]).generation, vm.generation(0));
      assert.is(vm.setUserMemoryRegionList([ownRegion(1, 0, 1)]).generation, vm.generation(0));
    });

    check("two slots may swap places, whatever their order", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2), ownRegion(2, 2, 2));
      set(vm, ownRegion(1, 2, 2), ownRegion(2, 0, 2));
      assert.is(layout(vm, 4), "2211");
      set(vm, ownRegion(2, 2, 2), ownRegion(1, 0, 2));
      assert.is(layout(vm, 4), "1122");
      assert.is(vm.gpaToHva(0), 0x1000 * PAGE);
      assert.is(vm.gpaToHva(3 * PAGE), 0x2001 * PAGE);
    });

    check("three slots may go round, and sizes need not match", {}, (vm) => {
      set(vm, ownRegion(1, 0, 1), ownRegion(2, 1, 2), ownRegion(3, 3, 3));
      set(vm, ownRegion(1, 5, 1), ownRegion(2, 3, 2), ownRegion(3, 0, 3));
      assert.is(layout(vm, 7), "333221.");
    });

    check("a slot may move onto a range that a later entry frees", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2), ownRegion(2, 4, 2));
      set(vm, ownRegion(1, 4, 2), deletion(2));
      assert.is(layout(vm, 6), "....11");
      set(vm, ownRegion(3, 5, 1), ownRegion(1, 0, 2));
      assert.is(layout(vm, 6), "11...3");
    });

    check("a create may come before the delete that frees its range", {}, (vm) => {
      set(vm, ownRegion(1, 0, 6));
      set(vm, ownRegion(2, 0, 2), ownRegion(3, 3, 3), deletion(1));
      assert.is(layout(vm, 6), "22.333", "a split with a hole");
      set(vm, ownRegion(1, 0, 6), deletion(3), deletion(2));
      assert.is(layout(vm, 6), "111111", "and a merge");
    });

    check("a slot may pass through another that stays", {}, (vm) => {
      set(vm, ownRegion(1, 0, 1), ownRegion(2, 1, 1));
      set(vm, ownRegion(1, 1, 1), ownRegion(1, 2, 1));
      assert.is(layout(vm, 3), ".21");
    });

    check("a slot may be deleted and created with another size, hva and flags", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2));
      set(vm, deletion(1), region(1, 1, 4, 0x77, LOG));
      assert.equal(vm.slots(0), [region(1, 1, 4, 0x77, LOG)]);
    });

    check("entries see what the entries before them left", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2), ownRegion(1, 4, 2), ownRegion(1, 4, 2, LOG), ownRegion(1, 2, 2, LOG));
      assert.equal(vm.slots(0), [ownRegion(1, 2, 2, LOG)]);
      throwsErrno(() => set(vm, deletion(1), deletion(1)), "EINVAL", 1);
      throwsErrno(() => set(vm, ownRegion(2, 0, 1), ownRegion(2, 0, 2)), "EINVAL", 1);
      throwsErrno(() => set(vm, ownRegion(2, 0, 1), region(2, 0, 1, 5)), "EINVAL", 1);
    });

    check("an empty list is success", {}, (vm) => {
      setWithoutEffect(vm);
      set(vm, ownRegion(1, 0, 1));
      setWithoutEffect(vm);
    });

    check("a list without net effect publishes nothing", {}, (vm) => {
      setWithoutEffect(vm, ownRegion(5, 0, 1), deletion(5));
      set(vm, ownRegion(1, 0, 2, LOG), ownRegion(2, 2, 2));
      setWithoutEffect(vm, ownRegion(1, 0, 2, LOG));
      setWithoutEffect(vm, ownRegion(1, 0, 2), ownRegion(1, 0, 2, LOG));
      setWithoutEffect(vm, ownRegion(1, 8, 2, LOG), ownRegion(1, 0, 2, LOG));
      setWithoutEffect(vm, deletion(1), ownRegion(1, 0, 2, LOG));
      setWithoutEffect(vm, deletion(1), deletion(2), ownRegion(2, 2, 2), ownRegion(1, 0, 2, LOG));
      setWithoutEffect(vm, ownRegion(5, 2, 2), deletion(5));
      setWithoutEffect(vm, ownRegion(5, 2 ** 40, 1), deletion(5));
    });

    check("a conflict is reported at the later of its two entries", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2), ownRegion(2, 2, 2));
      throwsErrno(() => set(vm, ownRegion(3, 4, 2), ownRegion(4, 6, 2), ownRegion(5, 5, 1)), "EEXIST", 2);
      throwsErrno(() => set(vm, ownRegion(3, 1, 2), ownRegion(4, 6, 2)), "EEXIST", 0);
      throwsErrno(() => set(vm, ownRegion(4, 6, 2), ownRegion(3, 1, 2), deletion(2)), "EEXIST", 1);
      throwsErrno(() => set(vm, ownRegion(1, 4, 2), ownRegion(3, 8, 1), ownRegion(2, 4, 2)), "EEXIST", 2);
    });

    check("of several conflicts the first is reported", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2), ownRegion(2, 2, 2));
      throwsErrno(
        () => set(vm, ownRegion(3, 8, 1), ownRegion(4, 3, 1), ownRegion(5, 0, 1), ownRegion(6, 8, 1)),
        "EEXIST",
        1,
      );
      throwsErrno(() => set(vm, ownRegion(3, 8, 2), ownRegion(4, 9, 2), ownRegion(5, 0, 1)), "EEXIST", 1);
    });

    check("an entry's own errors come before EEXIST, EEXIST before the highest gpa", {}, (vm) => {
      set(vm, ownRegion(1, 0, 2));
      const beyond = ownRegion(8, 2 ** 40, 1);
      throwsErrno(() => set(vm, ownRegion(2, 0, 1), ownRegion(3, 8, 1), deletion(4)), "EINVAL", 2);
      throwsErrno(() => set(vm, beyond, ownRegion(2, 0, 1)), "EEXIST", 1);
      throwsErrno(() => set(vm, beyond, ownRegion(9, 2 ** 40, 2)), "EEXIST", 1);
      throwsErrno(() => set(vm, ownRegion(2, 4, 1), beyond, ownRegion(9, 2 ** 40 + 1, 1)), "EINVAL", 1);
      throwsErrno(() => set(vm, ownRegion(2, 4, 1), ownRegion(1, 2 ** 40 - 1, 2)), "EINVAL", 1);
    });

    check("an entry may lie beyond the highest gpa if a later entry moves it back", {}, (vm) => {
      set(vm, ownRegion(1, 2 ** 40, 1), ownRegion(1, 0, 1));
      assert.is(layout(vm, 1), "1");
    });

    check("a longer list than the limit is E2BIG and does nothing", { maxListEntries: 8 }, (vm) => {
      assert.is(vm.checkExtension(KVM_CAP_USER_MEMORY_REGION_LIST), 8);
      const entries = [...Array(9).keys()].map((slot) => ownRegion(slot, slot, 1));
      throwsErrno(() => set(vm, ...entries), "E2BIG");
      assert.is(layout(vm, 9), ".........");
      set(vm, ...entries.slice(0, 8));
      assert.is(layout(vm, 9), "01234567.");
      throwsErrno(() => set(vm, ...entries.slice(0, 8), deletion(0)), "E2BIG");
      set(vm, ...entries.slice(0, 8).map(({ slot }) => deletion(slot)));
      assert.is(layout(vm, 9), ".........");
    });

    for (const maxListEntries of [1, 4096]) {
      check(
        `a list of ${maxListEntries} entries at a limit of as many`,
        { maxListEntries, maxSlots: 8192 },
        (vm) => {
          const entries = [...Array(maxListEntries + 1).keys()].map((slot) =>
            region(slot, 2 * slot, 1, slot),
          );
          throwsErrno(() => set(vm, ...entries), "E2BIG");
          set(vm, ...entries.slice(1));
          assert.is(vm.slots(0).length, maxListEntries);
          assert.is(vm.gpaToHva(0), HVA_BAD);
          for (const { guestPhysAddr, userspaceAddr } of vm.slots(0)) {
            assert.is(vm.gpaToHva(guestPhysAddr), userspaceAddr);
            assert.is(vm.gpaToHva(guestPhysAddr + PAGE), HVA_BAD);
          }
          set(vm, ...entries.slice(1).map(({ slot }) => deletion(slot)));
          assert.is(vm.slots(0).length, 0);
          assert.is(vm.publications, 2);
        },
      );
    }

    check("all address spaces change in one publication", { addressSpaces: 2 }, (vm) => {
      const smm = (id: number, gfn: number, npages: number) => ownRegion(slotNumber(1, id), gfn, npages);
      set(vm, ownRegion(1, 0, 2), smm(1, 0, 4));
      assert.is(layout(vm, 4, 0), "11..");
      assert.is(layout(vm, 4, 1), "1111");
      assert.is(vm.publications, 1);
      assert.equal([vm.generation(0), vm.generation(1)], [2, 3]);
      set(vm, ownRegion(1, 0, 2), deletion(slotNumber(1, 1)));
      assert.equal([vm.generation(0), vm.generation(1)], [2, 5], "only that which changed");
      assert.is(vm.publications, 2);
      throwsErrno(() => set(vm, ownRegion(1, 2, 2), smm(0, 0, 2), smm(1, 1, 1)), "EEXIST", 2);
      assert.is(layout(vm, 4, 0), "11..");
      assert.equal([vm.generation(0), vm.generation(1)], [2, 5]);
    });
  });
}
