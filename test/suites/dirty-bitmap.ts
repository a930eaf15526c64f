/**
 * Life of a dirty bitmap over create, flags, move and delete, one by one and in lists, with and without
 * INITIALLY_SET.
 */
import * as assert from "uvu/assert";
import type { ErrnoCode } from "../../src/kvm/errno.js";
import {
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  type UserspaceMemoryRegion,
} from "../../src/kvm/uapi.js";
import { bitmapOf, dirtyPages } from "../support/bitmap.js";
import {
  __setMemoryRegion,
  behaviour,
  type Create,
  type Implementation,
  throwsErrno,
} from "../support/implementation.js";
import { deletion, memoryRegion, PAGE } from "../support/region.js";

const LOG = KVM_MEM_LOG_DIRTY_PAGES;
const SLOT = 3;
const NPAGES = 8;
const SIZE = NPAGES * PAGE;
const ALL = [...Array(NPAGES).keys()];
const HVA = 0x10_0000;

interface Mode {
  title: string;
  /** args[0] of the capability. */
  manualProtect: number;
  /** Pages dirty in a bitmap just allocated. */
  fresh: number[];
}

const MODES: Mode[] = [
  { title: "manual protect", manualProtect: 1, fresh: [] },
  { title: "INITIALLY_SET", manualProtect: 3, fresh: ALL },
];

type Way = (vm: Implementation, ...regions: UserspaceMemoryRegion[]) => void;

const WAYS: [string, Way][] = [
  [
    "one by one",
    (vm, ...regions) => {
      for (const each of regions) vm.setUserMemoryRegion(each);
    },
  ],
  [
    "as a list of one each",
    (vm, ...regions) => {
      for (const each of regions) vm.setUserMemoryRegionList([each]);
    },
  ],
];

function at(gpa: number, flags = LOG): UserspaceMemoryRegion {
  return memoryRegion(SLOT, flags, gpa, SIZE, HVA);
}

function dirty(vm: Implementation): number[] {
  return dirtyPages(vm.getDirtyLog(SLOT));
}

/** A slot at gpa 0 with pages 1 and 6 dirty, whatever its bitmap began with. */
function start(vm: Implementation, mode: Mode, flags = LOG): void {
  vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, mode.manualProtect);
  vm.setUserMemoryRegion(at(0, flags));
  vm.clearDirtyLog(SLOT, 0, NPAGES, bitmapOf(ALL, NPAGES));
  vm.markDirty(PAGE);
  vm.markDirty(6 * PAGE);
}

export function dirtyBitmapSuite(name: string, create: Create): void {
  behaviour(`${name} dirty-bitmap`, create, (check) => {
    for (const mode of MODES) {
      for (const [way, set] of WAYS) {
        const how = `${mode.title}, ${way}`;

        check(`a create starts a new bitmap: ${how}`, {}, (vm) => {
          vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, mode.manualProtect);
          for (const flags of [LOG, LOG | KVM_MEM_READONLY]) {
            set(vm, at(0, flags));
            assert.equal(dirty(vm), mode.fresh);
            set(vm, deletion(SLOT));
          }
        });

        check(`a move keeps it, bits relative to the slot: ${how}`, {}, (vm) => {
          start(vm, mode);
          set(vm, at(0x10_0000));
          assert.equal(dirty(vm), [1, 6]);
          vm.markDirty(0x10_0000 + 2 * PAGE);
          set(vm, at(0x10_0000 + PAGE));
          assert.equal(dirty(vm), [1, 2, 6], "also over the own range");
        });

        check(`no change keeps it: ${how}`, {}, (vm) => {
          start(vm, mode);
          set(vm, at(0));
          assert.equal(dirty(vm), [1, 6]);
        });

        check(`LOG off drops it, LOG on starts a new one: ${how}`, {}, (vm) => {
          start(vm, mode);
          set(vm, at(0, 0));
          throwsErrno(() => vm.getDirtyLog(SLOT), "ENOENT");
          set(vm, at(0));
          assert.equal(dirty(vm), mode.fresh);
        });

        check(`a move may switch LOG along the way: ${how}`, {}, (vm) => {
          start(vm, mode);
          set(vm, at(0x10_0000, 0));
          throwsErrno(() => vm.getDirtyLog(SLOT), "ENOENT");
          set(vm, at(0x20_0000));
          assert.equal(dirty(vm), mode.fresh);
        });

        check(`a delete drops it: ${how}`, {}, (vm) => {
          start(vm, mode);
          set(vm, deletion(SLOT));
          throwsErrno(() => vm.getDirtyLog(SLOT), "ENOENT");
          set(vm, at(0));
          assert.equal(dirty(vm), mode.fresh);
        });
      }

      check(`a refused move or toggle keeps it: ${mode.title}`, {}, (vm) => {
        start(vm, mode);
        vm.setUserMemoryRegion(memoryRegion(4, 0, SIZE, SIZE, HVA));
        for (const [gpa, flags, hva] of [
          [SIZE, LOG, HVA],
          [SIZE, 0, HVA],
          [2 ** 52, LOG, HVA],
          [2 ** 52, 0, HVA],
          [0, 0, HVA + PAGE],
          [0, LOG | KVM_MEM_READONLY, HVA],
        ] as const) {
          assert.is.not(__setMemoryRegion(vm, SLOT, flags, gpa, SIZE, hva), 0);
          assert.equal(dirty(vm), [1, 6]);
        }
      });

      check(`deleted and created again as the very same, it is kept: ${mode.title}`, {}, (vm) => {
        start(vm, mode);
        vm.setUserMemoryRegionList([deletion(SLOT), at(0)]);
        assert.equal(dirty(vm), [1, 6]);
        vm.setUserMemoryRegionList([deletion(SLOT), at(0x10_0000), at(0)]);
        assert.equal(dirty(vm), [1, 6], "even with a detour");
      });

      check(`a list that ends where it began keeps it: ${mode.title}`, {}, (vm) => {
        start(vm, mode);
        vm.setUserMemoryRegionList([at(0, 0), at(0)]);
        assert.equal(dirty(vm), [1, 6], "LOG off and on");
        vm.setUserMemoryRegionList([at(0x10_0000), at(0)]);
        assert.equal(dirty(vm), [1, 6], "there and back");
      });

      check(`deleted and created as another slot, a new one: ${mode.title}`, {}, (vm) => {
        start(vm, mode);
        vm.setUserMemoryRegionList([deletion(SLOT), memoryRegion(SLOT, LOG, 0, SIZE, HVA + SIZE)]);
        assert.equal(dirty(vm), mode.fresh);
      });

      check(`a refused list keeps every bitmap: ${mode.title}`, {}, (vm) => {
        start(vm, mode);
        const refused = (code: ErrnoCode, ...entries: UserspaceMemoryRegion[]) => {
          throwsErrno(() => vm.setUserMemoryRegionList(entries), code, 1);
          assert.equal(dirty(vm), [1, 6]);
        };
        refused("EINVAL", deletion(SLOT), deletion(SLOT));
        refused("EEXIST", at(0, 0), memoryRegion(9, 0, 0, PAGE, HVA));
        refused("EINVAL", at(0x10_0000), memoryRegion(9, 0, 2 ** 52, PAGE, HVA));
      });

      check(`slots that swap places take their bitmaps along: ${mode.title}`, {}, (vm) => {
        start(vm, mode);
        vm.setUserMemoryRegion(memoryRegion(4, LOG, SIZE, SIZE, HVA));
        vm.clearDirtyLog(4, 0, NPAGES, bitmapOf(ALL, NPAGES));
        vm.markDirty(SIZE + 3 * PAGE);
        vm.setUserMemoryRegionList([at(SIZE), memoryRegion(4, LOG, 0, SIZE, HVA)]);
        assert.equal(dirty(vm), [1, 6]);
        assert.equal(dirtyPages(vm.getDirtyLog(4)), [3]);
        vm.markDirty(0);
        assert.equal(dirtyPages(vm.getDirtyLog(4)), [0, 3]);
      });
    }
  });
}
