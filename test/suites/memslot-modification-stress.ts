/**
 * The kernel's memslot_modification_stress_test in one thread: a slot next to the vCPUs' memory comes and
 * goes, and they must never miss a page of their own. The vCPUs take their turn between any two steps of the
 * host.
 */
import * as assert from "uvu/assert";
import { HVA_BAD } from "../../src/kvm/uapi.js";
import {
  behaviour,
  type Create,
  deleteMemoryRegion,
  type Implementation,
  type Reader,
  setMemoryRegion,
} from "../support/implementation.js";
import { deletion, memoryRegion, PAGE } from "../support/region.js";

const DUMMY_MEMSLOT_INDEX = 7;
const MEM_SLOT = 1;
const GUEST_PAGES = 64;
const GPA_END = 2 ** 52;
/** As high as guest memory goes, the last page left out. */
const GUEST_TEST_MEM = GPA_END - (GUEST_PAGES + 1) * PAGE;
const DUMMY_GPA = GUEST_TEST_MEM - PAGE;
const HVA = 0x7000_0000_0000;
const ITERATIONS = 200;

interface Vcpu {
  reader: Reader;
  pages: number[];
  next: number;
}

/** Each vCPU gets its part of the pages, or all of them where they overlap. */
function addVcpus(vm: Implementation, count: number, overlap: boolean): Vcpu[] {
  const pages = [...Array(GUEST_PAGES).keys()];
  const part = GUEST_PAGES / count;
  return [...Array(count).keys()].map((i) => ({
    reader: vm.vcpu({ asId: 0 }),
    pages: overlap ? pages : pages.slice(i * part, (i + 1) * part),
    next: 0,
  }));
}

/** One turn of a guest: a few accesses in one section, going on where the last turn ended. */
function runGuest(vcpu: Vcpu, accesses: number): void {
  vcpu.reader.enter();
  for (let i = 0; i < accesses; i++) {
    const page = vcpu.pages[vcpu.next]!;
    vcpu.next = (vcpu.next + 1) % vcpu.pages.length;
    assert.is(vcpu.reader.gpaToHva(GUEST_TEST_MEM + page * PAGE), HVA + page * PAGE);
    assert.is(vcpu.reader.gfnToSlot(GUEST_TEST_MEM / PAGE + page), MEM_SLOT);
  }
  vcpu.reader.exit();
}

export function memslotModificationStressSuite(name: string, create: Create): void {
  behaviour(`${name} memslot-modification-stress`, create, (check) => {
    for (const [title, count, overlap] of [
      ["one vCPU", 1, false],
      ["four vCPUs, each its part", 4, false],
      ["four vCPUs over the same memory", 4, true],
    ] as const) {
      check(`adding and deleting a neighbour never disturbs ${title}`, {}, (vm) => {
        setMemoryRegion(vm, MEM_SLOT, 0, GUEST_TEST_MEM, GUEST_PAGES * PAGE, HVA);
        const vcpus = addVcpus(vm, count, overlap);
        const runGuests = () => {
          for (const vcpu of vcpus) runGuest(vcpu, 5);
        };
        for (let i = 0; i < ITERATIONS; i++) {
          runGuests();
          setMemoryRegion(vm, DUMMY_MEMSLOT_INDEX, 0, DUMMY_GPA, PAGE, HVA);
          assert.is(vm.gpaToHva(DUMMY_GPA), HVA);
          runGuests();
          deleteMemoryRegion(vm, DUMMY_MEMSLOT_INDEX);
          assert.is(vm.gpaToHva(DUMMY_GPA), HVA_BAD);
        }
        assert.is(vm.generation(0), 1 + 2 * ITERATIONS);
        for (const { reader } of vcpus) reader.release();
      });
    }

    check("vCPUs never see their memory re-created by one list", {}, (vm) => {
      setMemoryRegion(vm, MEM_SLOT, 0, GUEST_TEST_MEM, GUEST_PAGES * PAGE, HVA);
      const [vcpu] = addVcpus(vm, 1, false);
      const half = (GUEST_PAGES / 2) * PAGE;
      const whole = memoryRegion(MEM_SLOT, 0, GUEST_TEST_MEM, 2 * half, HVA);
      for (let i = 0; i < ITERATIONS; i++) {
        runGuest({ ...vcpu!, next: i % GUEST_PAGES }, GUEST_PAGES);
        const split = [
          memoryRegion(MEM_SLOT, 0, GUEST_TEST_MEM, half, HVA),
          memoryRegion(2, 0, GUEST_TEST_MEM + half, half, HVA + half),
        ];
        vm.setUserMemoryRegionList([deletion(MEM_SLOT), ...split]);
        for (let page = 0; page < GUEST_PAGES; page++) {
          assert.is(vm.gpaToHva(GUEST_TEST_MEM + page * PAGE), HVA + page * PAGE);
        }
        vm.setUserMemoryRegionList([deletion(MEM_SLOT), deletion(2), whole]);
      }
      vcpu!.reader.release();
    });
  });
}
