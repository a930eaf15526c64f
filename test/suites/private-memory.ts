/**
 * Private memory: the kernel's set_memory_region_test (private regions, and overlapping ones), the sizes of its
 * guest_memfd_test, and KVM_SET_MEMORY_ATTRIBUTES errno by errno.
 */
import * as assert from "uvu/assert";
import {
  GUEST_MEMFD_FLAG_INIT_SHARED,
  GUEST_MEMFD_FLAG_MMAP,
  KVM_CAP_GUEST_MEMFD,
  KVM_CAP_GUEST_MEMFD_FLAGS,
  KVM_CAP_MEMORY_ATTRIBUTES,
  KVM_MEM_GUEST_MEMFD as MEMFD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE as PRIVATE,
} from "../../src/kvm/uapi.js";
import { behaviour, type Create, type Implementation, throwsErrno } from "../support/implementation.js";
import { deletion, memoryRegion, PAGE, region, slotNumber } from "../support/region.js";

const MEMFD_FLAGS = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
const SLOT = 10;
const GPA = 0xc000_0000;
const MIB_2 = 0x20_0000;
const MIB_4 = 0x40_0000;

function bind(
  vm: Implementation,
  slot: number,
  gpa: number,
  size: number,
  fd: number,
  offset = 0,
  flags = 0,
) {
  const plain = memoryRegion(slot, MEMFD | flags, gpa, size, 0);
  vm.setUserMemoryRegion2({ ...plain, guestMemfd: fd, guestMemfdOffset: offset });
}

function setPrivate(vm: Implementation, address: number, size: number, attributes = PRIVATE): void {
  vm.setMemoryAttributes({ address, size, attributes });
}

/** First page of each run of private pages among the first `npages`, and the page behind it. */
function privateRuns(vm: Implementation, npages: number): [number, number][] {
  const runs: [number, number][] = [];
  for (let gfn = 0; gfn < npages; gfn++) {
    if (vm.memoryAttributes(gfn * PAGE + 7) !== PRIVATE) continue;
    const last = runs.at(-1);
    if (last?.[1] === gfn) last[1]++;
    else runs.push([gfn, gfn + 1]);
  }
  return runs;
}

export function privateMemorySuite(name: string, create: Create): void {
  behaviour(`${name} private-memory`, create, (check) => {
    check("checkExtension reports the capabilities", {}, (vm) => {
      assert.is(vm.checkExtension(KVM_CAP_GUEST_MEMFD), 1);
      assert.is(vm.checkExtension(KVM_CAP_GUEST_MEMFD_FLAGS), MEMFD_FLAGS);
      // NR, NW and NX are the bits below it.
      assert.is(vm.checkExtension(KVM_CAP_MEMORY_ATTRIBUTES), 2 * PRIVATE - 1);
    });

    check("a guest_memfd has whole pages and the flags of Linux 6.18", {}, (vm) => {
      for (let size = 0; size < PAGE; size++) throwsErrno(() => vm.createGuestMemfd(size), "EINVAL");
      for (const size of [PAGE + 1, 2n ** 63n, 2n ** 64n - 4096n])
        throwsErrno(() => vm.createGuestMemfd(size), "EINVAL");
      for (let bit = 2n; bit < 64n; bit++) throwsErrno(() => vm.createGuestMemfd(PAGE, 1n << bit), "EINVAL");
      for (let flags = 0; flags <= MEMFD_FLAGS; flags++) vm.createGuestMemfd(PAGE, flags);
      throwsErrno(() => vm.createGuestMemfd(PAGE, MEMFD_FLAGS + 1), "EINVAL");
      assert.is.not(vm.createGuestMemfd(PAGE), vm.createGuestMemfd(PAGE));
      throwsErrno(() => vm.closeGuestMemfd(99), "EBADF");
    });

    check("private regions are added: T6 of set_memory_region_test", {}, (vm) => {
      for (const bad of [0, 1, 3, 99, -1, 0xffff_ffff])
        throwsErrno(() => bind(vm, SLOT, GPA, MIB_2, bad), "EBADF");
      const fd = vm.createGuestMemfd(MIB_2);
      for (let offset = 1; offset < PAGE; offset++)
        throwsErrno(() => bind(vm, SLOT, GPA, MIB_2, fd, offset), "EINVAL");
      for (const flags of [1, 2, 3, 8]) throwsErrno(() => bind(vm, SLOT, GPA, MIB_2, fd, 0, flags), "EINVAL");
      bind(vm, SLOT, GPA, MIB_2, fd);
      assert.equal(vm.resolvePrivate(GPA + 5), { guestMemfd: fd, offset: 5 });
      assert.is(vm.resolvePrivate(GPA + MIB_2), undefined);
    });

    check("overlapping private regions: T7 of set_memory_region_test", {}, (vm) => {
      const fd = vm.createGuestMemfd(2 * MIB_4);
      bind(vm, SLOT, GPA, MIB_4, fd);
      bind(vm, SLOT + 1, 2 * GPA, MIB_4, fd, MIB_4);
      bind(vm, SLOT, GPA, 0, -1);
      throwsErrno(() => bind(vm, SLOT, 2 * GPA - MIB_2, MIB_4, fd), "EEXIST");
      throwsErrno(() => bind(vm, SLOT, 2 * GPA + MIB_2, MIB_4, fd), "EEXIST");
      throwsErrno(() => bind(vm, SLOT, GPA, MIB_4, fd, MIB_2), "EINVAL");
      bind(vm, SLOT, GPA, MIB_4, fd);
    });

    check("no byte is bound twice, in no address space; a deletion frees it", { addressSpaces: 2 }, (vm) => {
      const fd = vm.createGuestMemfd(8 * PAGE);
      bind(vm, 1, 0, 4 * PAGE, fd, 2 * PAGE);
      for (const [from, to] of [
        [0, 3],
        [2, 6],
        [3, 4],
        [5, 8],
        [0, 8],
      ] as const) {
        const add = () => bind(vm, slotNumber(1, 2), 0, (to - from) * PAGE, fd, from * PAGE);
        throwsErrno(add, "EINVAL");
      }
      bind(vm, slotNumber(1, 2), 0, 2 * PAGE, fd);
      bind(vm, slotNumber(1, 3), 2 * PAGE, 2 * PAGE, fd, 6 * PAGE);
      assert.equal(vm.resolvePrivate(3 * PAGE, 1), { guestMemfd: fd, offset: 7 * PAGE });
      vm.setUserMemoryRegionList([deletion(1), deletion(slotNumber(1, 3))]);
      bind(vm, 1, 0, 6 * PAGE, fd, 2 * PAGE);
      assert.equal(vm.resolvePrivate(0), { guestMemfd: fd, offset: 2 * PAGE });
    });

    check("a binding must end within its file", {}, (vm) => {
      const fd = vm.createGuestMemfd(4 * PAGE);
      for (const [npages, offset] of [
        [5, 0],
        [1, 4],
        [4, 1],
        [2, 3],
      ] as const) {
        throwsErrno(() => bind(vm, 1, 0, npages * PAGE, fd, offset * PAGE), "EINVAL");
      }
      throwsErrno(
        () =>
          vm.setUserMemoryRegion2({
            ...region(1, 0, 1, 0, MEMFD),
            guestMemfd: fd,
            guestMemfdOffset: 2n ** 64n - 4096n,
          }),
        "EINVAL",
      );
      bind(vm, 1, 0, PAGE, fd, 3 * PAGE);
    });

    check("the order: region alone, overlap, file, highest gpa", {}, (vm) => {
      const fd = vm.createGuestMemfd(PAGE);
      const beyond = 2 ** 52;
      vm.setUserMemoryRegion(region(1, 0, 1, 0));
      throwsErrno(() => bind(vm, 2, 1, PAGE, -1), "EINVAL");
      throwsErrno(() => bind(vm, 2, 0, PAGE, -1), "EEXIST");
      throwsErrno(() => bind(vm, 2, beyond, PAGE, -1), "EBADF");
      throwsErrno(() => bind(vm, 2, beyond, PAGE, fd), "EINVAL");
      assert.is(vm.slot(2), undefined);
      bind(vm, 2, PAGE, PAGE, fd);
    });

    check("a private slot can only be deleted", {}, (vm) => {
      const fd = vm.createGuestMemfd(2 * PAGE);
      bind(vm, 1, 0, PAGE, fd);
      const before = vm.publications;
      throwsErrno(() => bind(vm, 1, 0, PAGE, fd), "EINVAL");
      throwsErrno(() => bind(vm, 1, PAGE, PAGE, fd), "EINVAL");
      for (const [flags, gpa] of [
        [0, 0],
        [1, 0],
        [2, 0],
        [0, PAGE],
      ] as const) {
        throwsErrno(() => vm.setUserMemoryRegion(memoryRegion(1, flags, gpa, PAGE, 0)), "EINVAL");
        throwsErrno(() => vm.setUserMemoryRegion2(memoryRegion(1, flags, gpa, PAGE, 0)), "EINVAL");
      }
      vm.setUserMemoryRegion(region(3, 2, 1, 0));
      throwsErrno(() => bind(vm, 3, 2 * PAGE, PAGE, fd, PAGE), "EINVAL");
      assert.is(vm.publications, before + 1);
      vm.setUserMemoryRegionList([deletion(1), region(1, 0, 1, 0)]);
      assert.is(vm.resolvePrivate(0), undefined, "the slot of that id has no file now");
      bind(vm, 4, PAGE, PAGE, fd);
    });

    check("a file that is closed leaves the slot, without memory", {}, (vm) => {
      const fd = vm.createGuestMemfd(PAGE);
      bind(vm, 1, 0, PAGE, fd);
      vm.closeGuestMemfd(fd);
      assert.is(vm.resolvePrivate(0), undefined);
      assert.is(vm.gpaToHva(0), 0, "what is shared stays");
      throwsErrno(() => vm.closeGuestMemfd(fd), "EBADF");
      const next = vm.createGuestMemfd(PAGE);
      assert.is.not(next, fd, "or the slot would have memory again");
      assert.is(vm.resolvePrivate(0), undefined);
      bind(vm, 1, 0, 0, -1);
      bind(vm, 1, 0, PAGE, next);
      assert.equal(vm.resolvePrivate(1), { guestMemfd: next, offset: 1 });
    });

    check(
      "attributes: EINVAL for flags, unknown bits, no bytes, part of a page, the end of 64 bits",
      {},
      (vm) => {
        const set =
          (address: number | bigint, size: number | bigint, attributes: bigint, flags = 0) =>
          () =>
            vm.setMemoryAttributes({ address, size, attributes, flags });
        for (let bit = 0n; bit < 64n; bit++) {
          if (bit > 3n) throwsErrno(set(0, PAGE, 1n << bit), "EINVAL");
          throwsErrno(
            () => vm.setMemoryAttributes({ address: 0, size: PAGE, attributes: 8, flags: 1n << bit }),
            "EINVAL",
          );
        }
        for (const [address, size] of [
          [0, 0],
          [1, PAGE],
          [0, PAGE - 1],
          [2n ** 64n - 4096n, 4096],
          [4096, 2n ** 64n - 4096n],
        ] as const) {
          throwsErrno(set(address, size, 8n), "EINVAL");
        }
        assert.is(vm.publications, 0);
        set(2n ** 64n - 8192n, 4096, 8n)();
        set(0, 2n ** 64n - 4096n, 8n)();
        assert.is(vm.publications, 2);
      },
    );

    check(
      "attributes need no slot, outlive slots, and are of all address spaces",
      { addressSpaces: 2 },
      (vm) => {
        setPrivate(vm, 2 * PAGE, 3 * PAGE);
        assert.equal(privateRuns(vm, 8), [[2, 5]]);
        vm.setUserMemoryRegion(region(1, 0, 8, 0));
        vm.setUserMemoryRegion(region(1, 16, 8, 0));
        vm.setUserMemoryRegion(deletion(1));
        assert.equal(privateRuns(vm, 8), [[2, 5]]);
        assert.equal([vm.generation(0), vm.generation(1)], [6, 1], "a slot's generation is not touched");
      },
    );

    check("attributes are cut, joined and removed; setting them again is no change", {}, (vm) => {
      const steps: [number, number, number, [number, number][]][] = [
        [4, 8, PRIVATE, [[4, 8]]],
        [4, 8, PRIVATE, [[4, 8]]],
        [5, 6, PRIVATE, [[4, 8]]],
        [
          5,
          7,
          0,
          [
            [4, 5],
            [7, 8],
          ],
        ],
        [
          5,
          7,
          0,
          [
            [4, 5],
            [7, 8],
          ],
        ],
        [
          0,
          2,
          PRIVATE,
          [
            [0, 2],
            [4, 5],
            [7, 8],
          ],
        ],
        [
          2,
          4,
          PRIVATE,
          [
            [0, 5],
            [7, 8],
          ],
        ],
        [3, 12, 0, [[0, 3]]],
        [1, 10, PRIVATE, [[0, 10]]],
        [0, 16, 0, []],
        [0, 16, 0, []],
      ];
      let seen = vm.publications;
      let runs: [number, number][] = [];
      for (const [from, to, attributes, expected] of steps) {
        setPrivate(vm, from * PAGE, (to - from) * PAGE, attributes);
        assert.equal(privateRuns(vm, 16), expected);
        if (JSON.stringify(expected) !== JSON.stringify(runs)) seen++;
        runs = expected;
        assert.is(vm.publications, seen, "publications");
      }
    });
  });
}
