/**
 * What KVM_ENABLE_CAP does to dirty logs: manual protect, INITIALLY_SET, and the dirty ring that has no
 * bitmaps.
 */
import * as assert from "uvu/assert";
import { ERRNO } from "../../src/kvm/errno.js";
import {
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_DIRTY_LOG_INITIALLY_SET,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
} from "../../src/kvm/uapi.js";
import { __clearDirtyLog, addSlot, getDirtyPages, gpaOf, markPages } from "../support/dirtyslots.js";
import { behaviour, type Create, errnoOf, setMemoryRegion } from "../support/implementation.js";
import { PAGE, slotNumber } from "../support/region.js";

const { E2BIG, EINVAL, ENXIO } = ERRNO;

export function dirtyCapabilitiesSuite(name: string, create: Create): void {
  behaviour(`${name} dirty-capabilities`, create, (check) => {
    check("manual protect takes 0, 1 and 3, at any time and at once", {}, (vm) => {
      const enable = (...args: number[]) =>
        errnoOf(() => vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, ...args));
      assert.is(vm.checkExtension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), 3);
      for (const arg of [0, 1, 3]) assert.is(enable(arg), 0);
      for (const arg of [2, 4, 5, 7, 0x1_0000]) assert.is(enable(arg), -EINVAL, `args[0] = ${arg}`);
      assert.is(enable(1), 0);
      addSlot(vm, 1, 4);
      markPages(vm, 1, 2);
      assert.equal(getDirtyPages(vm, 1), [2]);
      assert.is(enable(0), 0);
      assert.equal(getDirtyPages(vm, 1), [2], "this get takes the bit");
      assert.equal(getDirtyPages(vm, 1), []);
    });

    check("the first manual protect is obsolete, an unknown capability invalid", {}, (vm) => {
      assert.is(vm.checkExtension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT), 0);
      assert.is(
        errnoOf(() => vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT, 1)),
        -EINVAL,
      );
      assert.is(vm.checkExtension(0xffff), 0);
      assert.is(
        errnoOf(() => vm.enableCap(0xffff, 1)),
        -EINVAL,
      );
    });

    check("INITIALLY_SET fills new bitmaps to the last page and no further", {}, (vm) => {
      addSlot(vm, 1, 66);
      vm.enableCap(
        KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
        KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
      );
      assert.equal(getDirtyPages(vm, 1), [], "an existing bitmap is left alone");
      for (const [slot, npages] of [
        [2, 1],
        [3, 63],
        [4, 64],
        [5, 65],
        [6, 200],
      ] as const) {
        addSlot(vm, slot, npages);
        assert.equal(getDirtyPages(vm, slot), [...Array(npages).keys()], `${npages} pages`);
      }
    });

    check("with the dirty ring there is no bitmap, before any other check", {}, (vm) => {
      addSlot(vm, 1, 4);
      assert.is(
        errnoOf(() => vm.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096)),
        0,
      );
      addSlot(vm, 2, 4);
      for (const slot of [1, 2, 9, 0xffff]) {
        assert.is(
          errnoOf(() => vm.getDirtyLog(slot)),
          -ENXIO,
        );
        assert.is(__clearDirtyLog(vm, slot, 0, 4, [0]), -ENXIO);
        assert.is(__clearDirtyLog(vm, slot, 1, 4, [0]), -ENXIO);
      }
    });

    check("a dirty ring has a power of two of bytes, from 4096 to 1 MiB", {}, (vm) => {
      const enable = (bytes: number | bigint) => errnoOf(() => vm.enableCap(KVM_CAP_DIRTY_LOG_RING, bytes));
      assert.is(vm.checkExtension(KVM_CAP_DIRTY_LOG_RING), 1 << 20);
      for (const bytes of [0, 1, 2048, 4095, 4097, 12288, 2 ** 20 + 4096]) {
        assert.is(enable(bytes), -EINVAL, `${bytes} bytes`);
      }
      assert.is(enable(2 ** 21), -E2BIG);
      assert.is(enable(2 ** 31), -E2BIG);
      assert.is(enable(2 ** 20), 0);
      assert.is(enable(2 ** 20), -EINVAL, "only once");
      assert.is(enable(2 ** 21), -E2BIG, "too large comes before already enabled");
    });

    check("the size of a dirty ring is the lower half of the argument", {}, (vm) => {
      const enable = (bytes: number | bigint) => errnoOf(() => vm.enableCap(KVM_CAP_DIRTY_LOG_RING, bytes));
      assert.is(enable(2n ** 63n), -EINVAL, "0 bytes");
      assert.is(enable(2n ** 63n + 2n ** 21n), -E2BIG);
      assert.is(enable(2 ** 32 + 4096), 0);
    });

    check("both halves of the argument of manual protect count", {}, (vm) => {
      for (const arg of [2 ** 32, 2 ** 32 + 1, 2n ** 63n + 3n]) {
        assert.is(
          errnoOf(() => vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, arg)),
          -EINVAL,
        );
      }
    });

    check("both names of the ring mean one ring", {}, (vm) => {
      const enable = (cap: number, bytes: number) => errnoOf(() => vm.enableCap(cap, bytes));
      assert.is(vm.checkExtension(KVM_CAP_DIRTY_LOG_RING_ACQ_REL), 1 << 20);
      assert.is(enable(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 4097), -EINVAL);
      assert.is(enable(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 2 ** 21), -E2BIG);
      assert.is(enable(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 8192), 0);
      assert.is(enable(KVM_CAP_DIRTY_LOG_RING, 8192), -EINVAL);
    });

    check("bitmaps beside the ring: after the ring, before any slot", { addressSpaces: 2 }, (vm) => {
      const enable = () => errnoOf(() => vm.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP));
      assert.is(vm.checkExtension(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 1);
      assert.is(enable(), -EINVAL, "no ring");
      vm.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
      setMemoryRegion(vm, slotNumber(1, 3), 0, 0, PAGE, 0);
      assert.is(enable(), -EINVAL, "a slot, in whatever address space, logged or not");
      setMemoryRegion(vm, slotNumber(1, 3), 0, 0, 0, 0);
      assert.is(enable(), 0);
      assert.is(enable(), 0, "as often as one likes");
      addSlot(vm, 1, 4);
      assert.is(enable(), -EINVAL);
      markPages(vm, 1, 2);
      assert.equal(getDirtyPages(vm, 1), [2], "a write by no vCPU");
      const vcpu = vm.vcpu({ asId: 0 });
      vcpu.enter();
      vcpu.markDirty(gpaOf(1, 0));
      vcpu.exit();
      vcpu.release();
      assert.equal(getDirtyPages(vm, 1), [], "a vCPU writes to its ring");
      markPages(vm, 1, 1, 3);
      vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
      assert.is(__clearDirtyLog(vm, 1, 0, 4, [1]), 0);
      assert.equal(getDirtyPages(vm, 1), [3]);
    });

    check("a dirty ring comes before the first vCPU", {}, (vm) => {
      const vcpu = vm.vcpu({ asId: 0 });
      const enable = (bytes: number) => errnoOf(() => vm.enableCap(KVM_CAP_DIRTY_LOG_RING, bytes));
      assert.is(enable(4096), -EINVAL);
      assert.is(enable(2 ** 21), -E2BIG, "too large comes before that");
      vcpu.release();
    });
  });
}
