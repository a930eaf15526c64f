/** Reverse lookup: which guest ranges a host range backs, aliases and overlaps included. */
import * as assert from "uvu/assert";
import { KVM_MEM_READONLY, TASK_SIZE_MAX } from "../../src/kvm/uapi.js";
import {
  behaviour,
  type Create,
  deleteMemoryRegion,
  type Implementation,
  setMemoryRegion,
} from "../support/implementation.js";
import { deletion, PAGE, region, slotNumber } from "../support/region.js";

/** All in pages: slot, gfn, npages, host page. */
function add(
  vm: Implementation,
  slot: number,
  gfn: number,
  npages: number,
  hvaPage: number,
  flags = 0,
): void {
  setMemoryRegion(vm, slot, flags, gfn * PAGE, npages * PAGE, hvaPage * PAGE);
}

/** Answers in pages: [slot, gfn, npages]. */
function find(vm: Implementation, startPage: number, endPage: number): [number, number, number][] {
  return vm
    .hvaToGpas(startPage * PAGE, endPage * PAGE)
    .map(({ slot, gpa, bytes }) => [slot, gpa / PAGE, bytes / PAGE]);
}

export function hvaLookupSuite(name: string, create: Create): void {
  behaviour(`${name} hva-lookup`, create, (check) => {
    check("ranges are cut to the host range that is asked for", {}, (vm) => {
      add(vm, 1, 100, 4, 10);
      assert.equal(find(vm, 0, 10), []);
      assert.equal(find(vm, 14, 20), []);
      assert.equal(find(vm, 0, 100), [[1, 100, 4]]);
      assert.equal(find(vm, 10, 14), [[1, 100, 4]]);
      assert.equal(find(vm, 0, 11), [[1, 100, 1]]);
      assert.equal(find(vm, 13, 20), [[1, 103, 1]]);
      assert.equal(find(vm, 11, 13), [[1, 101, 2]]);
    });

    check("an empty range backs nothing", {}, (vm) => {
      add(vm, 1, 0, 4, 10);
      for (const page of [0, 9, 10, 12, 14]) assert.equal(find(vm, page, page), []);
    });

    check("a page that the range touches is in it", {}, (vm) => {
      add(vm, 1, 100, 4, 10);
      const find = (start: number, end: number) =>
        vm.hvaToGpas(start, end).map(({ gpa, bytes }) => [gpa, bytes]);
      const page = (gfn: number, npages: number) => [[gfn * PAGE, npages * PAGE]];
      const hva = 10 * PAGE;
      assert.equal(find(hva + 5, hva + 6), page(100, 1));
      assert.equal(find(hva - 1, hva + 1), page(100, 1));
      assert.equal(find(hva + PAGE - 1, hva + PAGE + 1), page(100, 2));
      assert.equal(find(hva + 4 * PAGE - 1, hva + 9 * PAGE), page(103, 1));
      assert.equal(find(hva - 1, hva), []);
      assert.equal(find(hva + 5, hva + 5), []);
    });

    check("every alias is found, in order of host start and then of id", {}, (vm) => {
      add(vm, 8, 0, 4, 10);
      add(vm, 2, 10, 4, 10);
      add(vm, 5, 20, 8, 8);
      add(vm, 1, 30, 2, 12, KVM_MEM_READONLY);
      assert.equal(find(vm, 12, 13), [
        [5, 24, 1],
        [2, 12, 1],
        [8, 2, 1],
        [1, 30, 1],
      ]);
      assert.equal(find(vm, 0, 100), [
        [5, 20, 8],
        [2, 10, 4],
        [8, 0, 4],
        [1, 30, 2],
      ]);
    });

    check("a long slot is found behind short ones", {}, (vm) => {
      add(vm, 0, 0, 1000, 0);
      for (let slot = 1; slot < 100; slot++) add(vm, slot, 1000 + slot, 1, slot);
      for (const page of [0, 1, 50, 99]) {
        assert.equal(
          find(vm, page, page + 1).map(([slot]) => slot),
          page === 0 ? [0] : [0, page],
        );
      }
      assert.equal(find(vm, 500, 501), [[0, 500, 1]]);
      assert.equal(find(vm, 999, 2000), [[0, 999, 1]]);
      deleteMemoryRegion(vm, 0);
      assert.equal(find(vm, 50, 52), [
        [50, 1050, 1],
        [51, 1051, 1],
      ]);
      assert.equal(find(vm, 500, 501), []);
    });

    check("ranges are sorted by address space first", { addressSpaces: 3 }, (vm) => {
      for (const asId of [2, 0, 1]) add(vm, slotNumber(asId, 4), asId, 1, 20 - asId);
      assert.equal(find(vm, 0, 100), [
        [4, 0, 1],
        [slotNumber(1, 4), 1, 1],
        [slotNumber(2, 4), 2, 1],
      ]);
    });

    check("a move and a replacement are followed", {}, (vm) => {
      add(vm, 1, 0, 4, 10);
      add(vm, 1, 50, 4, 10);
      assert.equal(find(vm, 0, 100), [[1, 50, 4]]);
      vm.setUserMemoryRegionList([deletion(1), region(1, 0, 2, 30)]);
      assert.equal(find(vm, 0, 100), [[1, 0, 2]]);
      assert.equal(find(vm, 10, 14), []);
    });

    check("a hundred aliases of one page are all found", {}, (vm) => {
      for (let slot = 0; slot < 100; slot++) add(vm, slot, slot, 1, 7);
      const slots = find(vm, 7, 8).map(([slot]) => slot);
      assert.equal(slots, [...Array(100).keys()]);
      for (let slot = 0; slot < 100; slot += 2) deleteMemoryRegion(vm, slot);
      assert.is(find(vm, 7, 8).length, 50);
    });

    check("host addresses from 0 to the end of user space", {}, (vm) => {
      const lastPage = TASK_SIZE_MAX / PAGE - 1;
      add(vm, 1, 0, 1, 0);
      add(vm, 2, 1, 1, lastPage);
      assert.equal(find(vm, 0, 1), [[1, 0, 1]]);
      assert.equal(find(vm, lastPage, lastPage + 1), [[2, 1, 1]]);
      assert.equal(find(vm, 0, lastPage + 1), [
        [1, 0, 1],
        [2, 1, 1],
      ]);
    });
  });
}
