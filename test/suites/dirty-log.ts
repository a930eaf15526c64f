/** KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG: contents, and every errno in its order. */
import * as assert from "uvu/assert";
import { ERRNO } from "../../src/kvm/errno.js";
import { KVM_MEM_LOG_DIRTY_PAGES } from "../../src/kvm/uapi.js";
import { __clearDirtyLog, addSlot, getDirtyPages, gpaOf, markPages } from "../support/dirtyslots.js";
import { behaviour, type Create, enableManualProtect, errnoOf } from "../support/implementation.js";
import { PAGE, region, slotNumber } from "../support/region.js";

const { EFAULT, EINVAL, ENOENT } = ERRNO;

export function dirtyLogSuite(name: string, create: Create): void {
  behaviour(`${name} dirty-log`, create, (check) => {
    check("a log has whole words of 64 pages", {}, (vm) => {
      for (const [slot, [npages, bytes]] of [
        [1, 8],
        [63, 8],
        [64, 8],
        [65, 16],
        [128, 16],
        [129, 24],
        [262147, 32776],
      ].entries()) {
        vm.setUserMemoryRegion(region(slot, slot * 2 ** 20, npages!, 0, KVM_MEM_LOG_DIRTY_PAGES));
        assert.is(vm.getDirtyLog(slot).byteLength, bytes, `${npages} pages`);
      }
    });

    check("a page is dirty once marked, at whichever byte", {}, (vm) => {
      addSlot(vm, 1, 130);
      markPages(vm, 1, 0, 63, 64, 129);
      vm.markDirty(gpaOf(1, 70) + PAGE - 1);
      assert.equal(getDirtyPages(vm, 1), [0, 63, 64, 70, 129]);
    });

    check("a mark beside a slot, or in a slot without a log, is lost", {}, (vm) => {
      addSlot(vm, 1, 4);
      addSlot(vm, 2, 4, 0);
      markPages(vm, 1, -1, 4);
      markPages(vm, 2, 0, 3);
      assert.equal(getDirtyPages(vm, 1), []);
    });

    check("a vCPU marks like the engine", {}, (vm) => {
      addSlot(vm, 0, 4);
      const vcpu = vm.vcpu({ asId: 0 });
      vcpu.enter();
      vcpu.markDirty(2 * PAGE + 8);
      vcpu.exit();
      vcpu.release();
      assert.equal(getDirtyPages(vm, 0), [2]);
    });

    check("a translation alone marks nothing", {}, (vm) => {
      addSlot(vm, 0, 4);
      vm.gpaToHva(0);
      vm.gpaToHvaRead(PAGE);
      assert.equal(getDirtyPages(vm, 0), []);
    });

    check("without manual protect a get takes the bits", {}, (vm) => {
      addSlot(vm, 1, 70);
      markPages(vm, 1, 0, 69);
      assert.equal(getDirtyPages(vm, 1), [0, 69]);
      assert.equal(getDirtyPages(vm, 1), []);
    });

    check("with manual protect a get leaves them, a clear takes them", {}, (vm) => {
      enableManualProtect(vm);
      addSlot(vm, 1, 130);
      markPages(vm, 1, 1, 64, 127, 128);
      assert.equal(getDirtyPages(vm, 1), [1, 64, 127, 128]);
      assert.is(__clearDirtyLog(vm, 1, 0, 130, [64]), 0);
      assert.equal(getDirtyPages(vm, 1), [1, 127, 128]);
      assert.is(__clearDirtyLog(vm, 1, 64, 64, [63]), 0, "bits count from firstPage");
      assert.equal(getDirtyPages(vm, 1), [1, 128]);
      assert.is(__clearDirtyLog(vm, 1, 128, 2, [0, 1, 2, 63]), 0, "bits past the end do not matter");
      assert.equal(getDirtyPages(vm, 1), [1]);
      assert.is(__clearDirtyLog(vm, 1, 0, 64, [5, 6]), 0, "nor do clean pages");
      assert.equal(getDirtyPages(vm, 1), [1]);
    });

    check("a clear works without manual protect too", {}, (vm) => {
      addSlot(vm, 1, 70);
      markPages(vm, 1, 4, 65);
      assert.is(__clearDirtyLog(vm, 1, 64, 6, [1]), 0);
      assert.equal(getDirtyPages(vm, 1), [4]);
    });

    check("a range to clear is of whole words or ends with the slot", {}, (vm) => {
      enableManualProtect(vm);
      addSlot(vm, 1, 130);
      for (const [firstPage, numPages, errno] of [
        [1, 63, -EINVAL],
        [63, 67, -EINVAL],
        [0, 63, -EINVAL],
        [0, 129, -EINVAL],
        [0, 131, -EINVAL],
        [64, 67, -EINVAL],
        [128, 1, -EINVAL],
        [192, 0, -EINVAL],
        [192, 1, -EINVAL],
        [0xffff_ffff_ffff_ffc0n, 64, -EINVAL],
        [0, 64, 0],
        [0, 128, 0],
        [0, 130, 0],
        [64, 66, 0],
        [128, 2, 0],
        [0, 0, 0],
        [64, 0, 0],
        [128, 0, 0],
      ] as const) {
        assert.is(__clearDirtyLog(vm, 1, firstPage, numPages, []), errno, `[${firstPage}, +${numPages})`);
      }
      assert.is(
        errnoOf(() => vm.clearDirtyLog(1, 0, 0xffff_ffc0, new Uint8Array(8))),
        -EINVAL,
      );
    });

    check("first page = npages is in range only for whole words", {}, (vm) => {
      addSlot(vm, 1, 128);
      assert.is(__clearDirtyLog(vm, 1, 128, 0, []), 0);
      assert.is(__clearDirtyLog(vm, 1, 128, 1, []), -EINVAL);
      assert.is(__clearDirtyLog(vm, 1, 192, 0, []), -EINVAL);
    });

    check("a bitmap that is too short is EFAULT, after everything else", {}, (vm) => {
      enableManualProtect(vm);
      addSlot(vm, 1, 130);
      markPages(vm, 1, 1);
      const clear = (firstPage: number, numPages: number) =>
        errnoOf(() => vm.clearDirtyLog(1, firstPage, numPages, new Uint8Array(0)));
      assert.is(clear(0, 130), -EFAULT);
      assert.is(clear(0, 131), -EINVAL);
      assert.is(clear(1, 0), -EINVAL);
      assert.is(clear(0, 0), 0);
      assert.is(
        errnoOf(() => vm.clearDirtyLog(1, 0, 130, new Uint8Array(23))),
        -EFAULT,
      );
      assert.equal(getDirtyPages(vm, 1), [1]);
    });

    check(
      "an id out of range is EINVAL, a slot without a log ENOENT",
      { maxSlots: 16, addressSpaces: 2 },
      (vm) => {
        addSlot(vm, 1, 4, 0);
        const get = (slot: number) => errnoOf(() => vm.getDirtyLog(slot));
        for (const slot of [16, 0xffff, slotNumber(2, 0), slotNumber(0xffff, 0xffff)]) {
          assert.is(get(slot), -EINVAL, `get of slot ${slot}`);
          assert.is(__clearDirtyLog(vm, slot, 0, 64, []), -EINVAL, `clear of slot ${slot}`);
        }
        for (const slot of [0, 1, 15, slotNumber(1, 1)]) {
          assert.is(get(slot), -ENOENT, `get of slot ${slot}`);
          assert.is(__clearDirtyLog(vm, slot, 0, 64, []), -ENOENT, `clear of slot ${slot}`);
          assert.is(__clearDirtyLog(vm, slot, 1, 1, []), -EINVAL, "the alignment of firstPage comes first");
        }
      },
    );
  });
}
