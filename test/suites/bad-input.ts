/** Arguments of the wrong type are a TypeError that names the field, before anything happens. */
import * as assert from "uvu/assert";
import { KVM_MEM_LOG_DIRTY_PAGES, type UserspaceMemoryRegion } from "../../src/kvm/uapi.js";
import {
  behaviour,
  type Create,
  type Implementation,
  throwsErrno,
  throwsTypeError,
} from "../support/implementation.js";
import { deletion, memoryRegion, region } from "../support/region.js";
import { type Snapshot, snapshot } from "../support/snapshot.js";

const GOOD = region(1, 0, 1, 1);

const WRONG: [string, unknown][] = [
  ["a string", "4096"],
  ["an empty string", ""],
  ["NaN", Number.NaN],
  ["infinity", Number.POSITIVE_INFINITY],
  ["nothing", undefined],
  ["null", null],
  ["a boolean", true],
  ["an object", {}],
  ["an array", [4096]],
  ["a negative number", -4096],
  ["a fraction", 4096.5],
  ["a number that is not exact", 2 ** 53 + 4096],
  ["a bigint past u64", 1n << 64n],
  ["a negative bigint", -1n],
];

const ADDRESSES = ["guestPhysAddr", "memorySize", "userspaceAddr"] as const;
const NUMBERS = ["slot", "flags"] as const;

function look(vm: Implementation): Snapshot {
  return snapshot(vm, { pageShift: 12, startGfn: 0, endGfn: 4, dirty: false });
}

/** GOOD with one field of a type that TypeScript would not let through. */
function spoil(field: keyof UserspaceMemoryRegion, value: unknown): UserspaceMemoryRegion {
  const spoilt: Record<string, unknown> = { ...GOOD, [field]: value };
  return spoilt as typeof spoilt & UserspaceMemoryRegion;
}

function without(field: keyof UserspaceMemoryRegion): UserspaceMemoryRegion {
  const { [field]: _, ...rest } = GOOD;
  return rest as UserspaceMemoryRegion;
}

export function badInputSuite(name: string, create: Create): void {
  behaviour(`${name} bad-input`, create, (check) => {
    for (const field of [...NUMBERS, ...ADDRESSES]) {
      check(`${field} of the wrong type is named`, {}, (vm) => {
        vm.setUserMemoryRegion(region(3, 2, 1, 0));
        const before = look(vm);
        for (const bad of [...WRONG.map(([, value]) => spoil(field, value)), without(field)]) {
          throwsTypeError(() => vm.setUserMemoryRegion(bad), field);
          throwsTypeError(() => vm.setUserMemoryRegion2(bad), field);
          throwsTypeError(() => vm.setUserMemoryRegionList([GOOD, deletion(3), bad]), field);
          assert.equal(look(vm), before);
        }
      });
    }

    check("slot and flags are 32 bits and no bigint", {}, (vm) => {
      for (const field of NUMBERS) {
        for (const value of [2 ** 32, 2 ** 40]) {
          throwsTypeError(() => vm.setUserMemoryRegion(spoil(field, value)), field);
        }
        throwsErrno(() => vm.setUserMemoryRegion(spoil(field, 2 ** 32 - 1)), "EINVAL");
      }
    });

    check("addresses are u64, as number or bigint alike", {}, (vm) => {
      for (const field of ADDRESSES) {
        throwsErrno(() => vm.setUserMemoryRegion(spoil(field, (1n << 64n) - 1n)), "EINVAL");
        throwsErrno(() => vm.setUserMemoryRegion(spoil(field, Number.MAX_SAFE_INTEGER)), "EINVAL");
      }
      vm.setUserMemoryRegion(memoryRegion(1, 0, 0n, 4096n, 4096n));
      assert.equal(vm.slots(0), [GOOD]);
    });

    check("a value that is no region is refused", {}, (vm) => {
      const before = look(vm);
      for (const value of [null, undefined, 0, 4096, "region", true, Symbol.iterator]) {
        const bad = value as unknown as UserspaceMemoryRegion;
        throwsTypeError(() => vm.setUserMemoryRegion(bad), "region");
        throwsTypeError(() => vm.setUserMemoryRegion2(bad), "region");
        throwsTypeError(() => vm.setUserMemoryRegionList([GOOD, bad]), "region");
      }
      assert.equal(look(vm), before);
    });

    check("a value that is no list is refused", {}, (vm) => {
      const before = look(vm);
      for (const value of [null, undefined, 0, "list", GOOD, { length: 1, 0: GOOD }]) {
        throwsTypeError(
          () => vm.setUserMemoryRegionList(value as unknown as UserspaceMemoryRegion[]),
          "regions",
        );
      }
      throwsTypeError(() => vm.setUserMemoryRegionList(new Array<UserspaceMemoryRegion>(2)), "region");
      assert.equal(look(vm), before);
    });

    check("the arguments of the dirty log calls are checked too", {}, (vm) => {
      vm.setUserMemoryRegion(region(1, 0, 1, 0, KVM_MEM_LOG_DIRTY_PAGES));
      const bitmap = new Uint8Array(8);
      for (const [what, value] of WRONG) {
        const bad = value as number;
        throwsTypeError(() => vm.getDirtyLog(bad), "slot");
        throwsTypeError(() => vm.clearDirtyLog(bad, 0, 0, bitmap), "slot");
        throwsTypeError(() => vm.clearDirtyLog(1, bad, 0, bitmap), "firstPage");
        throwsTypeError(() => vm.clearDirtyLog(1, 0, bad, bitmap), "numPages");
        assert.ok(what);
      }
      for (const value of [null, undefined, 0, "bitmap", [0]]) {
        throwsTypeError(() => vm.clearDirtyLog(1, 0, 1, value as unknown as Uint8Array), "bitmap");
      }
    });
  });
}
