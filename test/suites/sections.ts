/**
 * A read section is a snapshot: whatever is changed meanwhile, every lookup in it answers from one layout.
 */
import * as assert from "uvu/assert";
import { ERRNO } from "../../src/kvm/errno.js";
import {
  HVA_BAD,
  HVA_RO_BAD,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  type UserspaceMemoryRegion,
} from "../../src/kvm/uapi.js";
import { dirtyPages } from "../support/bitmap.js";
import {
  behaviour,
  type Create,
  enableManualProtect,
  errnoOf,
  type Implementation,
} from "../support/implementation.js";
import { OpenSection } from "../support/opensection.js";
import { deletion, ownRegion, PAGE, slotNumber } from "../support/region.js";

const LOG = KVM_MEM_LOG_DIRTY_PAGES;
const WINDOW = { pageShift: 12, startGfn: 0, endGfn: 16, dirty: false };

const CHANGES: [string, UserspaceMemoryRegion[]][] = [
  ["a create", [ownRegion(5, 12, 2)]],
  ["a delete", [deletion(1)]],
  ["a move", [ownRegion(1, 12, 4, LOG)]],
  ["a move over itself", [ownRegion(1, 1, 4, LOG)]],
  ["a change of flags", [ownRegion(1, 0, 4)]],
  ["a replacement at the same place", [deletion(1), ownRegion(6, 0, 4, KVM_MEM_READONLY)]],
  ["a swap", [ownRegion(1, 5, 4, LOG), ownRegion(2, 0, 4)]],
  ["everything at once", [deletion(3), ownRegion(1, 5, 4), ownRegion(2, 0, 4), ownRegion(7, 9, 7)]],
];

function start(vm: Implementation): void {
  enableManualProtect(vm);
  vm.setUserMemoryRegionList([
    ownRegion(1, 0, 4, LOG),
    ownRegion(2, 5, 4),
    ownRegion(3, 9, 1, KVM_MEM_READONLY),
  ]);
}

export function sectionsSuite(name: string, create: Create): void {
  behaviour(`${name} sections`, create, (check) => {
    for (const [what, entries] of CHANGES) {
      check(`${what} is not seen in an open section, but in the next`, {}, (vm) => {
        start(vm);
        const section = new OpenSection(vm, 0, WINDOW);
        vm.setUserMemoryRegionList(entries);
        assert.is(section.difference(), undefined);
        const next = new OpenSection(vm, 0, WINDOW);
        assert.is.not(vm.publications, 1);
        for (let gfn = 0; gfn < 16; gfn++) {
          const gpa = gfn * PAGE;
          const slot = vm
            .slots(0)
            .find((each) => gpa >= each.guestPhysAddr && gpa < each.guestPhysAddr + each.memorySize);
          const hva = slot ? slot.userspaceAddr + gpa - slot.guestPhysAddr : HVA_BAD;
          assert.is(vm.gpaToHvaRead(gpa), hva);
          assert.is(vm.gpaToHva(gpa), slot && slot.flags & KVM_MEM_READONLY ? HVA_RO_BAD : hva);
        }
        assert.is(next.difference(), undefined);
        assert.is(section.difference(), undefined);
        section.close();
        next.close();
      });
    }

    check("a refused list is not seen in any section", {}, (vm) => {
      start(vm);
      const section = new OpenSection(vm, 0, WINDOW);
      for (const [, entries] of CHANGES) {
        assert.throws(() => vm.setUserMemoryRegionList([...entries, deletion(9)]));
        assert.is(section.difference(), undefined);
      }
      section.close();
    });

    check("sections of both address spaces stay as they are", { addressSpaces: 2 }, (vm) => {
      vm.setUserMemoryRegionList([ownRegion(1, 0, 4), ownRegion(slotNumber(1, 1), 0, 8)]);
      const sections = [0, 1].map((asId) => new OpenSection(vm, asId, WINDOW));
      vm.setUserMemoryRegionList([ownRegion(1, 4, 4), deletion(slotNumber(1, 1))]);
      for (const section of sections) {
        assert.is(section.difference(), undefined);
        section.close();
      }
    });

    check("an open section outlasts any number of attempts to change the layout", {}, (vm) => {
      start(vm);
      const section = new OpenSection(vm, 0, WINDOW);
      const { userspaceAddr: host } = ownRegion(1, 0, 4);
      let gfn = 0;
      let changes = 0;
      for (let i = 0; i < 100; i++) {
        const there = gfn === 0 ? 11 : 0;
        // An engine has room for so many layouts only; then it refuses and changes nothing.
        const errno = errnoOf(() => vm.setUserMemoryRegion(ownRegion(1, there, 4, LOG)));
        assert.ok(errno === 0 || errno === -ERRNO.EBUSY, `errno ${errno}`);
        if (errno === 0) {
          gfn = there;
          changes++;
        }
        assert.is(vm.gpaToHva(gfn * PAGE), host);
        assert.is(vm.publications, 1 + changes);
        assert.is(section.difference(), undefined);
      }
      assert.ok(changes > 0, "at least one change goes through beside a section");
      section.close();
      vm.setUserMemoryRegion(deletion(1));
      assert.is(vm.slots(0).length, 2, "and all goes on when it is closed");
    });

    check("a write by the old layout is logged for the slot that it hit", {}, (vm) => {
      start(vm);
      const section = new OpenSection(vm, 0, WINDOW);
      vm.setUserMemoryRegion(ownRegion(1, 12, 4, LOG));
      section.markDirty(2 * PAGE);
      section.close();
      assert.equal(dirtyPages(vm.getDirtyLog(1)), [2], "page 2 of the slot, wherever it is now");
    });

    check("a write by the old layout to a slot that is gone is lost", {}, (vm) => {
      start(vm);
      const section = new OpenSection(vm, 0, WINDOW);
      vm.setUserMemoryRegionList([deletion(1), ownRegion(6, 0, 4, LOG)]);
      section.markDirty(2 * PAGE);
      section.close();
      assert.equal(dirtyPages(vm.getDirtyLog(6)), []);
    });

    check("two readers may be in different layouts", {}, (vm) => {
      start(vm);
      const old = new OpenSection(vm, 0, WINDOW);
      vm.setUserMemoryRegion(deletion(1));
      const recent = new OpenSection(vm, 0, WINDOW);
      vm.setUserMemoryRegion(deletion(2));
      assert.is(old.difference(), undefined);
      assert.is(recent.difference(), undefined);
      recent.close();
      assert.is(old.difference(), undefined);
      old.close();
    });
  });
}
