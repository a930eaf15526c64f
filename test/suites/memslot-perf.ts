/**
 * The shapes of the kernel's memslot_perf_test as functional tests, sizes scaled down: contiguous slots, the
 * remainder in the last one, and what each of its tests does to them. No times are taken here.
 */
import * as assert from "uvu/assert";
import { HVA_BAD, KVM_MEM_LOG_DIRTY_PAGES } from "../../src/kvm/uapi.js";
import { dirtyPages } from "../support/bitmap.js";
import { behaviour, type Create, type Implementation, setMemoryRegion } from "../support/implementation.js";
import { PAGE } from "../support/region.js";

const MEM_GPA = 0x1000_0000;
/** Sync page area in front of the test area. */
const MEM_EXTRA_PAGES = 16;
const HVA = 0x7000_0000_0000;

interface Data {
  pages: number;
  nslots: number;
  pagesPerSlot: number;
  lastPages: number;
}

/** Slot 0 is the library's own, so ids go from 1; the last slot takes what the division leaves. */
function prepareVm(vm: Implementation, nslots: number, testPages: number, flags = 0): Data {
  const pages = testPages + MEM_EXTRA_PAGES;
  const pagesPerSlot = Math.floor(pages / nslots);
  const lastPages = pages - pagesPerSlot * (nslots - 1);
  for (let slot = 1; slot <= nslots; slot++) {
    const offset = (slot - 1) * pagesPerSlot * PAGE;
    const npages = slot === nslots ? lastPages : pagesPerSlot;
    setMemoryRegion(vm, slot, flags, MEM_GPA + offset, npages * PAGE, HVA + offset);
  }
  return { pages, nslots, pagesPerSlot, lastPages };
}

function slotOf(data: Data, page: number): number {
  return Math.min(Math.floor(page / data.pagesPerSlot) + 1, data.nslots);
}

export function memslotPerfSuite(name: string, create: Create): void {
  behaviour(`${name} memslot-perf`, create, (check) => {
    for (const [nslots, testPages] of [
      [1, 512],
      [2, 512],
      [3, 512],
      [31, 512],
      [32, 512],
      [33, 512],
      [509, 2048],
      [511, 2048],
      [528, 512],
    ] as const) {
      const shape = `${nslots} slots over ${testPages} pages`;
      const options = { maxSlots: nslots + 1 };

      check(`map: ${shape} leave no page out`, options, (vm) => {
        const data = prepareVm(vm, nslots, testPages);
        const vcpu = vm.vcpu({ asId: 0 });
        vcpu.enter();
        for (let page = 0; page < data.pages; page++) {
          const gpa = MEM_GPA + page * PAGE;
          assert.is(vcpu.gpaToHva(gpa), HVA + page * PAGE);
          assert.is(vcpu.gfnToSlot(gpa / PAGE), slotOf(data, page));
        }
        assert.is(vcpu.gpaToHva(MEM_GPA - 1), HVA_BAD);
        assert.is(vcpu.gpaToHva(MEM_GPA + data.pages * PAGE), HVA_BAD);
        vcpu.exit();
        vcpu.release();
      });

      check(`unmap: ${shape}, each host page leads back to its gpa`, options, (vm) => {
        const data = prepareVm(vm, nslots, testPages);
        for (let page = 0; page < data.pages; page++) {
          const hva = HVA + page * PAGE;
          const gpa = MEM_GPA + page * PAGE;
          assert.equal(vm.hvaToGpas(hva, hva + PAGE), [{ slot: slotOf(data, page), gpa, bytes: PAGE }]);
        }
      });

      check(`unmap chunked: ${shape}, a chunk is cut at slot borders`, options, (vm) => {
        const data = prepareVm(vm, nslots, testPages);
        const chunk = 128 * PAGE;
        const end = HVA + data.pages * PAGE;
        for (let start = HVA; start < end; start += chunk) {
          let next = start;
          for (const { slot, gpa, bytes } of vm.hvaToGpas(start, Math.min(start + chunk, end))) {
            assert.is(gpa - MEM_GPA, next - HVA);
            assert.is(slot, slotOf(data, (next - HVA) / PAGE));
            next += bytes;
          }
          assert.is(next, Math.min(start + chunk, end), "the pieces add up to the chunk");
        }
      });

      check(`move: ${shape}, the last slot goes and comes and nothing else moves`, options, (vm) => {
        const data = prepareVm(vm, nslots, testPages);
        const srcPage = data.pages - data.lastPages;
        const src = MEM_GPA + srcPage * PAGE;
        const dest = MEM_GPA + data.pages * PAGE;
        const move = (gpa: number) =>
          setMemoryRegion(vm, nslots, 0, gpa, data.lastPages * PAGE, HVA + srcPage * PAGE);
        for (let i = 0; i < 10; i++) {
          move(dest);
          for (let page = Math.max(srcPage - 48, 0); page < data.pages; page++) {
            const there = page < srcPage ? HVA + page * PAGE : HVA_BAD;
            assert.is(vm.gpaToHva(MEM_GPA + page * PAGE), there);
          }
          assert.is(vm.gpaToHva(dest), HVA + srcPage * PAGE);
          move(src);
          for (let page = Math.max(srcPage - 48, 0); page < data.pages; page++) {
            assert.is(vm.gpaToHva(MEM_GPA + page * PAGE), HVA + page * PAGE);
          }
          assert.is(vm.gpaToHva(dest), HVA_BAD);
        }
      });

      check(`RW: ${shape}, a write to every page makes every page dirty`, options, (vm) => {
        const data = prepareVm(vm, nslots, testPages, KVM_MEM_LOG_DIRTY_PAGES);
        for (let page = 0; page < data.pages; page++) vm.markDirty(MEM_GPA + page * PAGE + 2048);
        for (let slot = 1; slot <= nslots; slot++) {
          const npages = slot === nslots ? data.lastPages : data.pagesPerSlot;
          assert.equal(dirtyPages(vm.getDirtyLog(slot)), [...Array(npages).keys()]);
        }
      });
    }
  });
}
