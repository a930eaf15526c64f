/** Which error number wins, and every address at its limit and one past it. */
import * as assert from "uvu/assert";
import { ERRNO } from "../../src/kvm/errno.js";
import {
  HVA_BAD,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_MAX_NR_PAGES,
  KVM_MEM_READONLY,
  TASK_SIZE_MAX,
} from "../../src/kvm/uapi.js";
import {
  __setMemoryRegion,
  behaviour,
  type Create,
  errnoOf,
  type Implementation,
  setMemoryRegion,
} from "../support/implementation.js";
import { type Address, deletion, memoryRegion, PAGE, slotNumber } from "../support/region.js";

const { EBADF, EEXIST, EINVAL } = ERRNO;

const GPA_END = 2 ** 52;
const U64_END = 1n << 64n;
const HVA = 0x7f00_0000_0000;

function createAt(vm: Implementation, slot: number, gpa: Address, size: Address = PAGE): number {
  return __setMemoryRegion(vm, slot, 0, gpa, size, 0);
}

export function regionErrorsSuite(name: string, create: Create): void {
  behaviour(`${name} region-errors`, create, (check) => {
    check("gpa, size and hva must be page aligned", {}, (vm) => {
      for (const off of [1, 0x10, 0x800, PAGE - 1]) {
        assert.is(__setMemoryRegion(vm, 0, 0, off, PAGE, HVA), -EINVAL, `gpa off by ${off}`);
        assert.is(__setMemoryRegion(vm, 0, 0, 0, PAGE + off, HVA), -EINVAL, `size off by ${off}`);
        assert.is(__setMemoryRegion(vm, 0, 0, 0, off, HVA), -EINVAL, `size ${off}`);
        assert.is(__setMemoryRegion(vm, 0, 0, 0, PAGE, HVA + off), -EINVAL, `hva off by ${off}`);
      }
      assert.equal(vm.slots(0), []);
    });

    check("the highest guest page is the last of 2^52", {}, (vm) => {
      assert.is(createAt(vm, 0, GPA_END - PAGE), 0);
      assert.is(createAt(vm, 1, GPA_END), -EINVAL);
      assert.is(createAt(vm, 1, GPA_END - 2 * PAGE, PAGE), 0);
      assert.is(createAt(vm, 2, GPA_END + PAGE), -EINVAL);
      assert.is(vm.gpaToHva(GPA_END - PAGE), 0);
      assert.is(vm.gpaToHva(GPA_END), HVA_BAD);
    });

    check("a slot may not reach over the highest guest page", {}, (vm) => {
      assert.is(createAt(vm, 0, GPA_END - PAGE, 2 * PAGE), -EINVAL);
      assert.is(createAt(vm, 0, 0, 2 * PAGE), 0);
      assert.is(createAt(vm, 0, GPA_END - PAGE, 2 * PAGE), -EINVAL, "a move neither");
      assert.is(createAt(vm, 0, GPA_END - 2 * PAGE, 2 * PAGE), 0);
    });

    for (const maxPhysAddrBits of [32, 36, 40, 46, 51]) {
      check(
        `with ${maxPhysAddrBits} address bits the highest guest page is the last of 2^${maxPhysAddrBits}`,
        {
          maxPhysAddrBits,
        },
        (vm) => {
          const end = 2 ** maxPhysAddrBits;
          assert.is(createAt(vm, 0, end - PAGE), 0);
          assert.is(createAt(vm, 1, end), -EINVAL);
          assert.is(createAt(vm, 1, end - 2 * PAGE, 3 * PAGE), -EEXIST);
        },
      );
    }

    check("guest addresses may not wrap, and 2^64 itself is a wrap", {}, (vm) => {
      const page = BigInt(PAGE);
      assert.is(createAt(vm, 0, U64_END - page, page), -EINVAL);
      assert.is(createAt(vm, 0, U64_END - page, 2n * page), -EINVAL);
      assert.is(createAt(vm, 0, U64_END - 2n * page, page), -EINVAL, "no wrap, but beyond the highest gpa");
      assert.is(createAt(vm, 0, 1n << 63n, page), -EINVAL);
      assert.is(createAt(vm, 0, 0, 1n << 63n), -EINVAL);
      assert.is(createAt(vm, 0, 0, U64_END - page), -EINVAL);
      assert.equal(vm.slots(0), []);
    });

    check("host addresses end at TASK_SIZE_MAX", {}, (vm) => {
      const at = (gpa: number, hva: Address, pages = 1) =>
        __setMemoryRegion(vm, gpa, 0, gpa * PAGE, pages * PAGE, hva);
      assert.is(at(0, TASK_SIZE_MAX - PAGE), 0);
      assert.is(vm.gpaToHva(PAGE - 1), TASK_SIZE_MAX - 1);
      assert.is(at(1, TASK_SIZE_MAX), -EINVAL);
      assert.is(at(1, TASK_SIZE_MAX - PAGE, 2), -EINVAL);
      assert.is(at(1, TASK_SIZE_MAX - 2 * PAGE, 2), 0);
      assert.is(at(3, 0x8000_0000_0000_0000n), -EINVAL, "not canonical");
      assert.is(at(3, 0xffff_8000_0000_0000n), -EINVAL, "the kernel's half");
      assert.is(at(3, 0xffff_ffff_ffff_f000n, 2), -EINVAL, "wraps");
      assert.is(at(3, 0), 0, "0 is an address like any other");
      assert.is(vm.gpaToHva(3 * PAGE), 0);
    });

    for (const maxUserAddrBits of [32, 40, 48, 52]) {
      check(`with ${maxUserAddrBits} bits host memory ends a page below`, { maxUserAddrBits }, (vm) => {
        const end = 2 ** maxUserAddrBits - PAGE;
        const at = (gpa: number, hva: Address, pages = 1) =>
          __setMemoryRegion(vm, gpa, 0, gpa * PAGE, pages * PAGE, hva);
        assert.is(at(0, end), -EINVAL);
        assert.is(at(0, end - PAGE, 2), -EINVAL);
        assert.is(at(0, end - 2 * PAGE, 2), 0);
        assert.is(vm.gpaToHva(2 * PAGE - 1), end - 1);
        const gpas = vm.hvaToGpas(end - 1, end);
        assert.equal(gpas, [{ slot: 0, gpa: PAGE, bytes: PAGE }]);
      });
    }

    check("a slot has at most 2^31 - 1 pages", {}, (vm) => {
      const largest = KVM_MEM_MAX_NR_PAGES * PAGE;
      assert.is(createAt(vm, 0, 0, largest + PAGE), -EINVAL);
      assert.is(createAt(vm, 0, 0, largest), 0);
      assert.is(vm.gpaToHva(largest - 1), largest - 1);
      assert.is(vm.gpaToHva(largest), HVA_BAD);
      assert.is(createAt(vm, 1, largest), 0, "and the next one may follow at once");
      assert.is(createAt(vm, 2, 0, largest + PAGE), -EINVAL, "EINVAL although it overlaps");
      assert.is(createAt(vm, 2, 0, largest), -EEXIST);
    });

    check("an address space beyond the last is refused", { addressSpaces: 2 }, (vm) => {
      assert.is(createAt(vm, slotNumber(1, 0), 0), 0);
      for (const asId of [2, 3, 4, 0x7fff, 0xffff]) {
        assert.is(createAt(vm, slotNumber(asId, 0), 0), -EINVAL, `create in address space ${asId}`);
        assert.is(createAt(vm, slotNumber(asId, 0), 0, 0), -EINVAL, `delete in address space ${asId}`);
      }
    });

    check("every argument error comes before EEXIST", { addressSpaces: 2, maxSlots: 8 }, (vm) => {
      setMemoryRegion(vm, 0, 0, 0, 16 * PAGE, HVA);
      assert.is(__setMemoryRegion(vm, 1, 0, 0, PAGE, HVA), -EEXIST);
      assert.is(__setMemoryRegion(vm, 8, 0, 0, PAGE, HVA), -EINVAL, "id");
      assert.is(__setMemoryRegion(vm, 1, 8, 0, PAGE, HVA), -EINVAL, "flags");
      assert.is(__setMemoryRegion(vm, 1, 0, 0, PAGE + 1, HVA), -EINVAL, "size");
      assert.is(__setMemoryRegion(vm, 1, 0, 1, PAGE, HVA), -EINVAL, "gpa");
      assert.is(__setMemoryRegion(vm, 1, 0, 0, PAGE, HVA + 1), -EINVAL, "hva");
      assert.is(__setMemoryRegion(vm, 1, 0, 0, PAGE, TASK_SIZE_MAX), -EINVAL, "hva range");
    });

    check("EEXIST comes before the highest gpa", {}, (vm) => {
      assert.is(createAt(vm, 0, GPA_END - PAGE), 0);
      assert.is(createAt(vm, 1, GPA_END - PAGE, 2 * PAGE), -EEXIST);
      assert.is(createAt(vm, 1, GPA_END, 2 * PAGE), -EINVAL);
      assert.is(createAt(vm, 1, 0, 2 * PAGE), 0);
      assert.is(createAt(vm, 1, GPA_END - PAGE, 2 * PAGE), -EEXIST, "a move likewise");
    });

    check("a change that a live slot refuses comes before EEXIST", {}, (vm) => {
      setMemoryRegion(vm, 0, 0, 0, 4 * PAGE, HVA);
      setMemoryRegion(vm, 1, 0, 4 * PAGE, 4 * PAGE, HVA);
      assert.is(__setMemoryRegion(vm, 0, 0, 0, 5 * PAGE, HVA), -EINVAL, "grow into the neighbour");
      assert.is(__setMemoryRegion(vm, 0, 0, 4 * PAGE, 4 * PAGE, 0), -EINVAL, "move with another hva");
      assert.is(__setMemoryRegion(vm, 0, KVM_MEM_READONLY, 4 * PAGE, 4 * PAGE, HVA), -EINVAL);
      assert.is(__setMemoryRegion(vm, 0, 0, 4 * PAGE, 4 * PAGE, HVA), -EEXIST);
    });

    check("an overlap of any shape is EEXIST, slots that touch are not", {}, (vm) => {
      const at = (page: number, pages: number) => createAt(vm, 1, page * PAGE, pages * PAGE);
      assert.is(createAt(vm, 0, 10 * PAGE, 4 * PAGE), 0);
      for (let page = 0; page < 20; page++) {
        for (let pages = 1; pages < 20; pages++) {
          const free = page + pages <= 10 || page >= 14;
          assert.is(at(page, pages), free ? 0 : -EEXIST, `[${page}, ${page + pages})`);
          if (free) vm.setUserMemoryRegion(deletion(1));
        }
      }
    });

    check("REGION2 knows GUEST_MEMFD, but there is none to bind", {}, (vm) => {
      const set2 = (slot: number, flags: number, gpa: number, guestMemfdOffset: Address = 0) =>
        errnoOf(() =>
          vm.setUserMemoryRegion2({
            ...memoryRegion(slot, flags, gpa, PAGE, 0),
            guestMemfd: -1,
            guestMemfdOffset,
          }),
        );
      assert.is(set2(0, KVM_MEM_LOG_DIRTY_PAGES, 0), 0);
      assert.is(set2(1, KVM_MEM_GUEST_MEMFD, PAGE), -EBADF);
      assert.is(set2(1, KVM_MEM_GUEST_MEMFD, 0), -EEXIST, "overlap comes before the descriptor");
      assert.is(set2(1, KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES, PAGE), -EINVAL);
      assert.is(set2(1, KVM_MEM_GUEST_MEMFD | KVM_MEM_READONLY, PAGE), -EINVAL);
      assert.is(set2(1, KVM_MEM_GUEST_MEMFD, PAGE, 1), -EINVAL, "offset not aligned");
      assert.is(set2(1, KVM_MEM_GUEST_MEMFD, PAGE, U64_END - BigInt(PAGE)), -EINVAL, "offset wraps");
      assert.is(set2(0, KVM_MEM_GUEST_MEMFD, 0), -EINVAL, "a live slot cannot become one");
      for (let i = 3; i < 32; i++) assert.is(set2(1, 2 ** i, PAGE), -EINVAL, `flag bit ${i}`);
      assert.is(vm.slots(0).length, 1);
    });
  });
}
