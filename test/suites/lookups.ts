/**
 * Translation of guest addresses: edges, holes, READONLY, byte offsets, every page size, all ways of asking.
 */
import * as assert from "uvu/assert";
import { ERRNO } from "../../src/kvm/errno.js";
import {
  HVA_BAD,
  HVA_RO_BAD,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_MAX_NR_PAGES,
  KVM_MEM_READONLY,
  TASK_SIZE_MAX,
} from "../../src/kvm/uapi.js";
import {
  __setMemoryRegion,
  behaviour,
  type Create,
  type Implementation,
  type Reader,
  setMemoryRegion,
} from "../support/implementation.js";
import { deletion, PAGE, region } from "../support/region.js";

const HVA = 0x10_0000_0000;

function inSection<T>(vm: Implementation, body: (vcpu: Reader) => T): T {
  const vcpu = vm.vcpu({ asId: 0 });
  vcpu.enter();
  try {
    return body(vcpu);
  } finally {
    vcpu.exit();
    vcpu.release();
  }
}

/** Write translation by every way there is; all must agree. */
function gpaToHva(vm: Implementation, gpa: number): number {
  const hva = vm.gpaToHva(gpa);
  const batch = new Float64Array(1);
  inSection(vm, (vcpu) => {
    assert.is(vcpu.gpaToHva(gpa), hva, `vCPU at 0x${gpa.toString(16)}`);
    vcpu.translate(Float64Array.of(gpa), batch);
  });
  assert.is(batch[0], hva, `batch at 0x${gpa.toString(16)}`);
  return hva;
}

export function lookupsSuite(name: string, create: Create): void {
  behaviour(`${name} lookups`, create, (check) => {
    check("nothing is mapped at first", {}, (vm) => {
      for (const gpa of [0, 1, PAGE, 2 ** 32, 2 ** 52 - PAGE, 2 ** 52]) {
        assert.is(gpaToHva(vm, gpa), HVA_BAD);
        assert.is(vm.gpaToHvaRead(gpa), HVA_BAD);
      }
      inSection(vm, (vcpu) => assert.is(vcpu.gfnToSlot(0), -1));
    });

    for (const pageShift of [8, 10, 12, 14, 16, 21, 30]) {
      const page = 2 ** pageShift;
      const pages = `of 2^${pageShift} bytes`;

      check(`with pages ${pages} a slot answers from its first byte to its last`, { pageShift }, (vm) => {
        setMemoryRegion(vm, 5, 0, 3 * page, 4 * page, 8 * page);
        assert.is(gpaToHva(vm, 3 * page - 1), HVA_BAD);
        assert.is(gpaToHva(vm, 3 * page), 8 * page);
        assert.is(gpaToHva(vm, 3 * page + 1), 8 * page + 1);
        assert.is(gpaToHva(vm, 5 * page - 1), 10 * page - 1);
        assert.is(gpaToHva(vm, 7 * page - 1), 12 * page - 1);
        assert.is(gpaToHva(vm, 7 * page), HVA_BAD);
        inSection(vm, (vcpu) => {
          const found = [...Array(9).keys()].map((gfn) => vcpu.gfnToSlot(gfn));
          assert.equal(found, [-1, -1, -1, 5, 5, 5, 5, -1, -1]);
        });
      });

      check(`pages ${pages} are the unit of alignment`, { pageShift }, (vm) => {
        for (const off of [1, page / 2, page - 1]) {
          assert.is(__setMemoryRegion(vm, 0, 0, off, page, 0), -ERRNO.EINVAL);
          assert.is(__setMemoryRegion(vm, 0, 0, 0, page + off, 0), -ERRNO.EINVAL);
          assert.is(__setMemoryRegion(vm, 0, 0, 0, page, off), -ERRNO.EINVAL);
        }
        assert.is(__setMemoryRegion(vm, 0, 0, 0, page, page), 0);
      });

      check(`pages ${pages} reach the highest guest and host address`, { pageShift }, (vm) => {
        const gpa = 2 ** 52 - page;
        const hva = Math.floor(TASK_SIZE_MAX / page - 1) * page;
        setMemoryRegion(vm, 0, 0, gpa, page, hva);
        assert.is(gpaToHva(vm, gpa - 1), HVA_BAD);
        assert.is(gpaToHva(vm, gpa), hva);
        assert.is(gpaToHva(vm, 2 ** 52 - 1), hva + page - 1);
        assert.is(__setMemoryRegion(vm, 1, 0, 2 ** 52, page, 0), -ERRNO.EINVAL);
        assert.is(__setMemoryRegion(vm, 1, 0, 0, page, hva + 2 * page), -ERRNO.EINVAL);
      });

      check(`pages ${pages} are what a dirty log counts`, { pageShift }, (vm) => {
        setMemoryRegion(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 2 * page, 3 * page, 0);
        vm.markDirty(3 * page - 1);
        vm.markDirty(4 * page);
        assert.is(vm.getDirtyLog(0)[0], 0b101);
      });
    }

    check("2^31 - 1 pages is the limit at small pages too", { pageShift: 8 }, (vm) => {
      const largest = KVM_MEM_MAX_NR_PAGES * 256;
      assert.is(__setMemoryRegion(vm, 0, 0, 0, largest + 256, 0), -ERRNO.EINVAL);
      assert.is(__setMemoryRegion(vm, 0, 0, 0, largest, 0), 0);
      assert.is(gpaToHva(vm, largest - 1), largest - 1);
      assert.is(gpaToHva(vm, largest), HVA_BAD);
    });

    check("a READONLY slot translates reads only", {}, (vm) => {
      setMemoryRegion(vm, 1, KVM_MEM_READONLY, PAGE, PAGE, HVA);
      setMemoryRegion(vm, 2, 0, 2 * PAGE, PAGE, HVA + PAGE);
      const pages = [0, 1, 2, 3].map((gfn) => gfn * PAGE);
      assert.equal(
        pages.map((gpa) => gpaToHva(vm, gpa)),
        [HVA_BAD, HVA_RO_BAD, HVA + PAGE, HVA_BAD],
      );
      const reads = [HVA_BAD, HVA, HVA + PAGE, HVA_BAD];
      assert.equal(
        pages.map((gpa) => vm.gpaToHvaRead(gpa)),
        reads,
      );
      inSection(vm, (vcpu) => {
        assert.equal(
          pages.map((gpa) => vcpu.gpaToHvaRead(gpa)),
          reads,
        );
        assert.is(vcpu.gfnToSlot(1), 1);
      });
    });

    check("neighbours, holes and an unrelated host order", {}, (vm) => {
      const layout: [number, number, number, number][] = [
        [9, 4, 2, 100],
        [0, 6, 1, 50],
        [7, 0, 3, 200],
        [3, 8, 1, 50],
      ];
      for (const [slot, gfn, npages, hvaPage] of layout) {
        setMemoryRegion(vm, slot, 0, gfn * PAGE, npages * PAGE, hvaPage * PAGE);
      }
      const hvaPages = [...Array(10).keys()].map((gfn) => gpaToHva(vm, gfn * PAGE) / PAGE);
      const bad = HVA_BAD / PAGE;
      assert.equal(hvaPages, [200, 201, 202, bad, 100, 101, 50, bad, 50, bad]);
      assert.equal(
        vm.slots(0).map(({ slot }) => slot),
        [7, 9, 0, 3],
        "ascending by guest address",
      );
    });

    check("a batch translates each address separately, in order", {}, (vm) => {
      setMemoryRegion(vm, 0, 0, 0, 2 * PAGE, HVA);
      setMemoryRegion(vm, 1, KVM_MEM_READONLY, 2 * PAGE, PAGE, HVA);
      const gpas = Float64Array.of(2 * PAGE, 5, 3 * PAGE, PAGE, 5);
      const hvas = new Float64Array(gpas.length);
      inSection(vm, (vcpu) => vcpu.translate(gpas, hvas));
      assert.equal([...hvas], [HVA_RO_BAD, HVA + 5, HVA_BAD, HVA + PAGE, HVA + 5]);
      inSection(vm, (vcpu) => vcpu.translate(new Float64Array(0), new Float64Array(0)));
    });

    check("a batch of many addresses equals single lookups", { maxSlots: 512 }, (vm) => {
      for (let slot = 0; slot < 512; slot++) {
        setMemoryRegion(vm, slot, 0, 2 * slot * PAGE, PAGE, HVA + slot * PAGE);
      }
      const gpas = Float64Array.from({ length: 5000 }, (_, i) => ((i * 7919) % 1030) * PAGE + i);
      const hvas = new Float64Array(gpas.length);
      inSection(vm, (vcpu) => vcpu.translate(gpas, hvas));
      for (const [i, gpa] of gpas.entries()) assert.is(hvas[i], vm.gpaToHva(gpa));
    });

    check("the cached slot is not used once it is deleted", {}, (vm) => {
      const vcpu = vm.vcpu({ asId: 0 });
      const look = (gpa: number) => {
        vcpu.enter();
        const hva = vcpu.gpaToHva(gpa);
        vcpu.exit();
        return hva;
      };
      setMemoryRegion(vm, 0, 0, 0, 2 * PAGE, HVA);
      assert.is(look(PAGE), HVA + PAGE);
      setMemoryRegion(vm, 0, 0, PAGE, 2 * PAGE, HVA);
      assert.is(look(PAGE), HVA, "moved under the same id");
      assert.is(look(0), HVA_BAD);
      vm.setUserMemoryRegionList([deletion(0), region(0, 1, 2, 0)]);
      assert.is(look(PAGE), 0, "replaced at the same place");
      vm.setUserMemoryRegion(deletion(0));
      assert.is(look(PAGE), HVA_BAD, "deleted");
      vcpu.release();
    });
  });
}
