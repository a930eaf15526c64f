/**
 * Private memory: the kernel's set_memory_region_test (private regions, and overlapping ones), the sizes of its
 * guest_memfd_test, and KVM_SET_MEMORY_ATTRIBUTES errno by errno.
 */
import * as assert from "uvu/assert";
import {
  KVM_CAP_GUEST_MEMFD,
  KVM_CAP_MEMORY_ATTRIBUTES,
  KVM_MEM_GUEST_MEMFD as MEMFD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE as PRIVATE,
} from "../../src/uapi.js";
import {
  behaviour,
  type Create,
  deletion,
  type Implementation,
  PAGE_SIZE,
  region,
  slotNumber,
  throwsErrno,
} from "../support/implementation.js";

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
  const plain = region(slot, MEMFD | flags, gpa, size, 0);
  vm.setUserMemoryRegion2({ ...plain, guestMemfd: fd, guestMemfdOffset: offset });
}

function setPrivate(vm: Implementation, address: number, size: number, attributes = PRIVATE): void {
  vm.setMemoryAttributes({ address, size, attributes });
}

/** First page of each run of private pages among the first `npages`, and the page behind it. */
function privateRuns(vm: Implementation, npages: number): [number, number][] {
  const runs: [number, number][] = [];
  for (let gfn = 0; gfn < npages; gfn++) {
    if (vm.memoryAttributes(gfn * PAGE_SIZE + 7) !== PRIVATE) continue;
    const last = runs.at(-1);
    if (last?.[1] === gfn) last[1]++;
    else runs.push([gfn, gfn + 1]);
  }
  return runs;
}

export function privateMemorySuite(name: string, create: Create): void {
  behaviour(`${name} private-memory`, create, (check) => {
    check("the capabilities are told", {}, (vm) => {
      assert.is(vm.checkExtension(KVM_CAP_GUEST_MEMFD), 1);
      assert.is(vm.checkExtension(KVM_CAP_MEMORY_ATTRIBUTES), PRIVATE);
    });

    check("a guest_memfd has whole pages and no flags", {}, (vm) => {
      for (let size = 0; size < PAGE_SIZE; size++) throwsErrno(() => vm.createGuestMemfd(size), "EINVAL");
      for (const size of [PAGE_SIZE + 1, 2n ** 63n, 2n ** 64n - 4096n])
        throwsErrno(() => vm.createGuestMemfd(size), "EINVAL");
      for (let bit = 0n; bit < 64n; bit++)
        throwsErrno(() => vm.createGuestMemfd(PAGE_SIZE, 1n << bit), "EINVAL");
      assert.is.not(vm.createGuestMemfd(PAGE_SIZE), vm.createGuestMemfd(PAGE_SIZE));
      throwsErrno(() => vm.closeGuestMemfd(99), "EBADF");
    });

    check("private regions are added: T6 of set_memory_region_test", {}, (vm) => {
      for (const bad of [0, 1, 3, 99, -1]) throwsErrno(() => bind(vm, SLOT, GPA, MIB_2, bad), "EBADF");
      const fd = vm.createGuestMemfd(MIB_2);
      for (let offset = 1; offset < PAGE_SIZE; offset++)
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
      const fd = vm.createGuestMemfd(8 * PAGE_SIZE);
      bind(vm, 1, 0, 4 * PAGE_SIZE, fd, 2 * PAGE_SIZE);
      for (const [from, to] of [
        [0, 3],
        [2, 6],
        [3, 4],
        [5, 8],
        [0, 8],
      ] as const) {
        const add = () => bind(vm, slotNumber(1, 2), 0, (to - from) * PAGE_SIZE, fd, from * PAGE_SIZE);
        throwsErrno(add, "EINVAL");
      }
      bind(vm, slotNumber(1, 2), 0, 2 * PAGE_SIZE, fd);
      bind(vm, slotNumber(1, 3), 2 * PAGE_SIZE, 2 * PAGE_SIZE, fd, 6 * PAGE_SIZE);
      assert.equal(vm.resolvePrivate(3 * PAGE_SIZE, 1), { guestMemfd: fd, offset: 7 * PAGE_SIZE });
      vm.setUserMemoryRegionList([deletion(1), deletion(slotNumber(1, 3))]);
      bind(vm, 1, 0, 6 * PAGE_SIZE, fd, 2 * PAGE_SIZE);
      assert.equal(vm.resolvePrivate(0), { guestMemfd: fd, offset: 2 * PAGE_SIZE });
    });

    check("a file has an end", {}, (vm) => {
      const fd = vm.createGuestMemfd(4 * PAGE_SIZE);
      for (const [npages, offset] of [
        [5, 0],
        [1, 4],
        [4, 1],
        [2, 3],
      ] as const) {
        throwsErrno(() => bind(vm, 1, 0, npages * PAGE_SIZE, fd, offset * PAGE_SIZE), "EINVAL");
      }
      throwsErrno(
        () =>
          vm.setUserMemoryRegion2({
            ...region(1, MEMFD, 0, PAGE_SIZE, 0),
            guestMemfd: fd,
            guestMemfdOffset: 2n ** 64n - 4096n,
          }),
        "EINVAL",
      );
      bind(vm, 1, 0, PAGE_SIZE, fd, 3 * PAGE_SIZE);
    });

    check("the order: region alone, overlap, file, highest gpa", {}, (vm) => {
      const fd = vm.createGuestMemfd(PAGE_SIZE);
      const beyond = 2 ** 52;
      vm.setUserMemoryRegion(region(1, 0, 0, PAGE_SIZE, 0));
      throwsErrno(() => bind(vm, 2, 1, PAGE_SIZE, -1), "EINVAL");
      throwsErrno(() => bind(vm, 2, 0, PAGE_SIZE, -1), "EEXIST");
      throwsErrno(() => bind(vm, 2, beyond, PAGE_SIZE, -1), "EBADF");
      throwsErrno(() => bind(vm, 2, beyond, PAGE_SIZE, fd), "EINVAL");
      assert.is(vm.slot(2), undefined);
      bind(vm, 2, PAGE_SIZE, PAGE_SIZE, fd);
    });

    check("a private slot changes in no way but goes", {}, (vm) => {
      const fd = vm.createGuestMemfd(2 * PAGE_SIZE);
      bind(vm, 1, 0, PAGE_SIZE, fd);
      const before = vm.publications;
      throwsErrno(() => bind(vm, 1, 0, PAGE_SIZE, fd), "EINVAL");
      throwsErrno(() => bind(vm, 1, PAGE_SIZE, PAGE_SIZE, fd), "EINVAL");
      for (const [flags, gpa] of [
        [0, 0],
        [1, 0],
        [2, 0],
        [0, PAGE_SIZE],
      ] as const) {
        throwsErrno(() => vm.setUserMemoryRegion(region(1, flags, gpa, PAGE_SIZE, 0)), "EINVAL");
        throwsErrno(() => vm.setUserMemoryRegion2(region(1, flags, gpa, PAGE_SIZE, 0)), "EINVAL");
      }
      vm.setUserMemoryRegion(region(3, 0, 2 * PAGE_SIZE, PAGE_SIZE, 0));
      throwsErrno(() => bind(vm, 3, 2 * PAGE_SIZE, PAGE_SIZE, fd, PAGE_SIZE), "EINVAL");
      assert.is(vm.publications, before + 1);
      vm.setUserMemoryRegionList([deletion(1), region(1, 0, 0, PAGE_SIZE, 0)]);
      assert.is(vm.resolvePrivate(0), undefined, "the slot of that id has no file now");
      bind(vm, 4, PAGE_SIZE, PAGE_SIZE, fd);
    });

    check("a file that is closed leaves the slot, without memory", {}, (vm) => {
      const fd = vm.createGuestMemfd(PAGE_SIZE);
      bind(vm, 1, 0, PAGE_SIZE, fd);
      vm.closeGuestMemfd(fd);
      assert.is(vm.resolvePrivate(0), undefined);
      assert.is(vm.gpaToHva(0), 0, "what is shared stays");
      throwsErrno(() => vm.closeGuestMemfd(fd), "EBADF");
      const next = vm.createGuestMemfd(PAGE_SIZE);
      assert.is.not(next, fd, "or the slot would have memory again");
      assert.is(vm.resolvePrivate(0), undefined);
      bind(vm, 1, 0, 0, -1);
      bind(vm, 1, 0, PAGE_SIZE, next);
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
          if (bit !== 3n) throwsErrno(set(0, PAGE_SIZE, 1n << bit), "EINVAL");
          throwsErrno(
            () => vm.setMemoryAttributes({ address: 0, size: PAGE_SIZE, attributes: 8, flags: 1n << bit }),
            "EINVAL",
          );
        }
        for (const [address, size] of [
          [0, 0],
          [1, PAGE_SIZE],
          [0, PAGE_SIZE - 1],
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
        setPrivate(vm, 2 * PAGE_SIZE, 3 * PAGE_SIZE);
        assert.equal(privateRuns(vm, 8), [[2, 5]]);
        vm.setUserMemoryRegion(region(1, 0, 0, 8 * PAGE_SIZE, 0));
        vm.setUserMemoryRegion(region(1, 0, 16 * PAGE_SIZE, 8 * PAGE_SIZE, 0));
        vm.setUserMemoryRegion(deletion(1));
        assert.equal(privateRuns(vm, 8), [[2, 5]]);
        assert.equal([vm.generation(0), vm.generation(1)], [6, 1], "a slot's generation is not touched");
      },
    );

    check("attributes are cut, joined, and taken away; what is so already is no change", {}, (vm) => {
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
        setPrivate(vm, from * PAGE_SIZE, (to - from) * PAGE_SIZE, attributes);
        assert.equal(privateRuns(vm, 16), expected);
        if (JSON.stringify(expected) !== JSON.stringify(runs)) seen++;
        runs = expected;
        assert.is(vm.publications, seen, "publications");
      }
    });
  });
}
