/**
 * The kernel's set_memory_region_test, and one test per kind of change: create, delete, move, flags, nothing.
 */
import * as assert from "uvu/assert";
import { ERRNO } from "../../src/kvm/errno.js";
import {
  encodeUserspaceMemoryRegion,
  HVA_BAD,
  KVM_CAP_NR_MEMSLOTS,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
} from "../../src/kvm/uapi.js";
import {
  __deleteMemoryRegion,
  __setMemoryRegion,
  behaviour,
  type Create,
  deleteMemoryRegion,
  errnoOf,
  type Implementation,
  setMemoryRegion,
} from "../support/implementation.js";
import { memoryRegion, PAGE } from "../support/region.js";

const { EEXIST, EFAULT, EINVAL } = ERRNO;

const MEM_REGION_SIZE = 0x20_0000;
const MEM_REGION_GPA = 0xc000_0000;
const MEM_REGION_SLOT = 10;
const HVA = 0x7f00_0000_0000;

function addMemRegion(vm: Implementation, flags = 0): void {
  setMemoryRegion(vm, MEM_REGION_SLOT, flags, MEM_REGION_GPA, MEM_REGION_SIZE, HVA);
}

export function setMemoryRegionSuite(name: string, create: Create): void {
  behaviour(`${name} set-memory-region`, create, (check) => {
    check("every flag bit but LOG and READONLY is invalid", {}, (vm) => {
      const supported = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;
      for (let i = 0; i < 32; i++) {
        const flags = 2 ** i;
        if (flags & supported) continue;
        assert.is(__setMemoryRegion(vm, 0, flags, 0, MEM_REGION_SIZE, 0), -EINVAL, `create with bit ${i}`);
        assert.is(
          __setMemoryRegion(vm, 0, flags + 3, 0, MEM_REGION_SIZE, 0),
          -EINVAL,
          `bit ${i} with LOG|READONLY`,
        );
      }
      assert.is(__setMemoryRegion(vm, 0, 0xffff_ffff, 0, MEM_REGION_SIZE, 0), -EINVAL);
      assert.equal(vm.slots(0), []);
    });

    check("every invalid flag is refused on a live slot and on its deletion", {}, (vm) => {
      addMemRegion(vm);
      for (let i = 2; i < 32; i++) {
        const flags = 2 ** i;
        assert.is(
          __setMemoryRegion(vm, MEM_REGION_SLOT, flags, MEM_REGION_GPA, MEM_REGION_SIZE, HVA),
          -EINVAL,
        );
        assert.is(__setMemoryRegion(vm, MEM_REGION_SLOT, flags, 0, 0, 0), -EINVAL, `delete with bit ${i}`);
      }
      assert.is(vm.slots(0).length, 1);
    });

    for (const flags of [
      0,
      KVM_MEM_LOG_DIRTY_PAGES,
      KVM_MEM_READONLY,
      KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY,
    ]) {
      check(`a slot with flags ${flags} can be created and deleted`, {}, (vm) => {
        addMemRegion(vm, flags);
        assert.equal(vm.slots(0), [
          memoryRegion(MEM_REGION_SLOT, flags, MEM_REGION_GPA, MEM_REGION_SIZE, HVA),
        ]);
        assert.equal(vm.slot(MEM_REGION_SLOT), vm.slots(0)[0]);
        deleteMemoryRegion(vm, MEM_REGION_SLOT);
        assert.equal(vm.slots(0), []);
        assert.is(vm.slot(MEM_REGION_SLOT), undefined);
      });
    }

    check("the maximum number of slots can be added, and not one more", { maxSlots: 32764 }, (vm) => {
      const max = vm.checkExtension(KVM_CAP_NR_MEMSLOTS);
      for (let slot = 0; slot < max; slot++) {
        setMemoryRegion(vm, slot, 0, slot * MEM_REGION_SIZE, MEM_REGION_SIZE, HVA + slot * MEM_REGION_SIZE);
      }
      const end = max * MEM_REGION_SIZE;
      assert.is(__setMemoryRegion(vm, max, 0, end, MEM_REGION_SIZE, HVA), -EINVAL);
      assert.is(vm.slots(0).length, max);
      for (let slot = 0; slot < max; slot++) {
        const last = (slot + 1) * MEM_REGION_SIZE - 1;
        assert.is(vm.gpaToHva(last), HVA + last);
      }
      assert.is(vm.gpaToHva(end), HVA_BAD);
    });

    check("slot ids end at the limit", { maxSlots: 4 }, (vm) => {
      assert.is(vm.checkExtension(KVM_CAP_NR_MEMSLOTS), 4);
      assert.is(__setMemoryRegion(vm, 3, 0, 0, PAGE, HVA), 0);
      for (const slot of [4, 5, 0x7fff, 0xffff]) {
        assert.is(__setMemoryRegion(vm, slot, 0, PAGE, PAGE, HVA), -EINVAL, `create of slot ${slot}`);
        assert.is(__deleteMemoryRegion(vm, slot), -EINVAL, `delete of slot ${slot}`);
      }
    });

    check("a delete looks at the id alone", {}, (vm) => {
      for (const [flags, gpa, hva] of [
        [0, 0, 0],
        [3, 0x3e_8000, 0x4_d000],
        [0, 2 ** 52, 0],
        [0, 0xffff_ffff_ffff_f000n, 0],
      ] as const) {
        addMemRegion(vm, KVM_MEM_READONLY);
        assert.is(__setMemoryRegion(vm, MEM_REGION_SLOT, flags, gpa, 0, hva), 0);
        assert.is(vm.gpaToHvaRead(MEM_REGION_GPA), HVA_BAD);
      }
    });

    check("a delete is still refused for misalignment or a kernel hva", {}, (vm) => {
      addMemRegion(vm);
      assert.is(__setMemoryRegion(vm, MEM_REGION_SLOT, 0, 1, 0, 0), -EINVAL);
      assert.is(__setMemoryRegion(vm, MEM_REGION_SLOT, 0, MEM_REGION_GPA, 0, 1), -EINVAL);
      assert.is(__setMemoryRegion(vm, MEM_REGION_SLOT, 0, 0, 0, 0xffff_8000_0000_0000n), -EINVAL);
      assert.is(__setMemoryRegion(vm, MEM_REGION_SLOT, 0, 0, 1, 0), -EINVAL);
      assert.is(vm.gpaToHva(MEM_REGION_GPA), HVA);
    });

    check("a missing slot cannot be deleted, nor one slot twice", {}, (vm) => {
      assert.is(__deleteMemoryRegion(vm, MEM_REGION_SLOT), -EINVAL);
      addMemRegion(vm);
      assert.is(__deleteMemoryRegion(vm, MEM_REGION_SLOT), 0);
      assert.is(__deleteMemoryRegion(vm, MEM_REGION_SLOT), -EINVAL);
    });

    check("a move keeps size, hva and id", {}, (vm) => {
      addMemRegion(vm);
      setMemoryRegion(vm, MEM_REGION_SLOT, 0, 0, MEM_REGION_SIZE, HVA);
      assert.equal(vm.slots(0), [memoryRegion(MEM_REGION_SLOT, 0, 0, MEM_REGION_SIZE, HVA)]);
      assert.is(vm.gpaToHva(MEM_REGION_GPA), HVA_BAD);
      assert.is(vm.gpaToHva(MEM_REGION_SIZE - 1), HVA + MEM_REGION_SIZE - 1);
    });

    check("a slot may move over any part of itself", {}, (vm) => {
      addMemRegion(vm);
      let gpa = MEM_REGION_GPA;
      for (const pages of [1, -1, -2, 511, -511, 256]) {
        gpa += pages * PAGE;
        assert.is(
          __setMemoryRegion(vm, MEM_REGION_SLOT, 0, gpa, MEM_REGION_SIZE, HVA),
          0,
          `move by ${pages} pages`,
        );
        assert.is(vm.gpaToHva(gpa), HVA);
        assert.is(vm.gpaToHva(gpa - 1), HVA_BAD);
        assert.is(vm.gpaToHva(gpa + MEM_REGION_SIZE), HVA_BAD);
      }
    });

    check("a move next to a neighbour is fine, a move into it EEXIST", {}, (vm) => {
      addMemRegion(vm);
      setMemoryRegion(vm, 0, 0, 0, 4 * PAGE, HVA);
      const move = (gpa: number) => __setMemoryRegion(vm, 0, 0, gpa, 4 * PAGE, HVA);
      assert.is(move(MEM_REGION_GPA - 4 * PAGE), 0);
      assert.is(move(MEM_REGION_GPA - 3 * PAGE), -EEXIST);
      assert.is(move(MEM_REGION_GPA), -EEXIST);
      assert.is(move(MEM_REGION_GPA + MEM_REGION_SIZE - PAGE), -EEXIST);
      assert.is(move(MEM_REGION_GPA + MEM_REGION_SIZE), 0);
    });

    check("LOG toggles in place and along with a move, READONLY never", {}, (vm) => {
      addMemRegion(vm);
      const set = (flags: number, gpa: number) =>
        __setMemoryRegion(vm, MEM_REGION_SLOT, flags, gpa, MEM_REGION_SIZE, HVA);
      assert.is(set(KVM_MEM_LOG_DIRTY_PAGES, MEM_REGION_GPA), 0);
      assert.is(set(0, MEM_REGION_GPA), 0);
      assert.is(set(KVM_MEM_LOG_DIRTY_PAGES, 0), 0);
      assert.is(set(KVM_MEM_READONLY, 0), -EINVAL);
      assert.is(set(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES, 0), -EINVAL);
      assert.is(set(KVM_MEM_READONLY, MEM_REGION_GPA), -EINVAL);
      assert.is(vm.slot(MEM_REGION_SLOT)?.flags, KVM_MEM_LOG_DIRTY_PAGES);
    });

    check("a live slot has the size and the hva it was created with", {}, (vm) => {
      addMemRegion(vm);
      const set = (gpa: number, size: number, hva: number) =>
        __setMemoryRegion(vm, MEM_REGION_SLOT, 0, gpa, size, hva);
      for (const gpa of [MEM_REGION_GPA, 0]) {
        assert.is(set(gpa, MEM_REGION_SIZE - PAGE, HVA), -EINVAL);
        assert.is(set(gpa, MEM_REGION_SIZE + PAGE, HVA), -EINVAL);
        assert.is(set(gpa, MEM_REGION_SIZE, HVA + PAGE), -EINVAL);
      }
      deleteMemoryRegion(vm, MEM_REGION_SLOT);
      assert.is(set(0, PAGE, HVA + PAGE), 0, "after a delete the id is free for anything");
    });

    check("the same region again is success and no change", {}, (vm) => {
      addMemRegion(vm, KVM_MEM_LOG_DIRTY_PAGES);
      const { publications } = vm;
      const generation = vm.generation(0);
      addMemRegion(vm, KVM_MEM_LOG_DIRTY_PAGES);
      assert.is(vm.generation(0), generation);
      assert.is(vm.publications, publications);
    });

    check("each change publishes once, a refusal never", {}, (vm) => {
      const changes: [number, number, number][] = [
        [0, MEM_REGION_GPA, MEM_REGION_SIZE],
        [KVM_MEM_LOG_DIRTY_PAGES, MEM_REGION_GPA, MEM_REGION_SIZE],
        [KVM_MEM_LOG_DIRTY_PAGES, 0, MEM_REGION_SIZE],
        [0, 0, 0],
      ];
      for (const [i, [flags, gpa, size]] of changes.entries()) {
        setMemoryRegion(vm, MEM_REGION_SLOT, flags, gpa, size, HVA);
        assert.is(vm.generation(0), i + 1);
        assert.is(vm.publications, i + 1);
        assert.is(__setMemoryRegion(vm, 1, 0, 0, 1, HVA), -EINVAL);
        assert.is(vm.publications, i + 1);
      }
    });

    check("the bytes of the ioctl's struct are accepted as well", {}, (vm) => {
      const bytes = encodeUserspaceMemoryRegion(
        memoryRegion(MEM_REGION_SLOT, 1, MEM_REGION_GPA, MEM_REGION_SIZE, HVA),
      );
      vm.setUserMemoryRegion(bytes);
      assert.equal(vm.slots(0), [memoryRegion(MEM_REGION_SLOT, 1, MEM_REGION_GPA, MEM_REGION_SIZE, HVA)]);
      assert.is(
        errnoOf(() => vm.setUserMemoryRegion(bytes.subarray(0, 31))),
        -EFAULT,
      );
    });
  });
}
