/**
 * The interface of an implementation (model or engine) for the behaviour suites, and helpers after the kernel's
 * selftests: `setMemoryRegion` must succeed, `__setMemoryRegion` returns the errno.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ERRNO, type ErrnoCode } from "../../src/kvm/errno.js";
import type { Slot } from "../../src/kvm/region.js";
import {
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  type MemoryAttributes,
  type UserspaceMemoryRegion,
  type UserspaceMemoryRegion2,
} from "../../src/kvm/uapi.js";
import { type Address, deletion, memoryRegion } from "./region.js";

export interface Reader {
  enter(): void;
  exit(): void;
  release(): void;
  gpaToHva(gpa: number): number;
  gpaToHvaRead(gpa: number): number;
  gfnToSlot(gfn: number): number;
  translate(gpas: Float64Array, hvas: Float64Array): unknown;
  markDirty(gpa: number): unknown;
}

export interface Implementation {
  readonly publications: number;
  setUserMemoryRegion(region: UserspaceMemoryRegion | Uint8Array): unknown;
  setUserMemoryRegion2(region: UserspaceMemoryRegion2 | Uint8Array): unknown;
  setUserMemoryRegionList(regions: readonly UserspaceMemoryRegion[]): { generation: number };
  createGuestMemfd(size: number | bigint, flags?: number | bigint): number;
  closeGuestMemfd(descriptor: number): unknown;
  setMemoryAttributes(attributes: MemoryAttributes): unknown;
  memoryAttributes(gpa: number): number;
  resolvePrivate(gpa: number, asId?: number): { guestMemfd: number; offset: number } | undefined;
  checkExtension(cap: number): number;
  enableCap(cap: number, ...args: (number | bigint)[]): unknown;
  getDirtyLog(slot: number): Uint8Array;
  clearDirtyLog(slot: number, firstPage: number | bigint, numPages: number, bitmap: Uint8Array): unknown;
  gpaToHva(gpa: number, asId?: number): number;
  gpaToHvaRead(gpa: number, asId?: number): number;
  markDirty(gpa: number, asId?: number): unknown;
  slots(asId?: number): Slot[];
  slot(slot: number): Slot | undefined;
  generation(asId?: number): number;
  hvaToGpas(start: number, end: number): { slot: number; gpa: number; bytes: number }[];
  vcpu(options: { asId: number }): Reader;
  synchronize?(): void;
  close(): unknown;
}

export interface Options {
  addressSpaces?: number;
  maxSlots?: number;
  maxVcpus?: number;
  maxListEntries?: number;
  pageShift?: number;
  maxPhysAddrBits?: number;
  maxUserAddrBits?: number;
}

export type Create = (options: Options) => Promise<Implementation>;

export type Check = (what: string, options: Options, body: (vm: Implementation) => void) => void;

/** A uvu suite whose tests each get a new implementation and close it, failed or not. */
export function behaviour(title: string, create: Create, register: (check: Check) => void): void {
  const test = suite(title);
  register((what, options, body) => {
    test(what, async () => {
      const vm = await create(options);
      try {
        body(vm);
      } finally {
        vm.close();
      }
    });
  });
  test.run();
}

/** Errno of a call, 0 on success. Anything but a KvmError is a defect and goes on. */
export function errnoOf(call: () => unknown): number {
  try {
    call();
    return 0;
  } catch (error) {
    if (isKvmError(error)) return error.errno;
    throw error;
  }
}

export function __setMemoryRegion(
  vm: Implementation,
  slot: number,
  flags: number,
  gpa: Address,
  size: Address,
  hva: Address,
): number {
  return errnoOf(() => vm.setUserMemoryRegion(memoryRegion(slot, flags, gpa, size, hva)));
}

export function setMemoryRegion(
  vm: Implementation,
  slot: number,
  flags: number,
  gpa: Address,
  size: Address,
  hva: Address,
): void {
  vm.setUserMemoryRegion(memoryRegion(slot, flags, gpa, size, hva));
}

export function __deleteMemoryRegion(vm: Implementation, slot: number): number {
  return errnoOf(() => vm.setUserMemoryRegion(deletion(slot)));
}

export function deleteMemoryRegion(vm: Implementation, slot: number): void {
  vm.setUserMemoryRegion(deletion(slot));
}

interface Refused {
  errno: number;
  code: string;
  index?: number;
}

export function isKvmError(error: unknown): error is Error & Refused {
  return error instanceof Error && error.name === "KvmError";
}

/** Assert this errno at this entry; uvu's assert.throws with a string accepts any error. */
export function throwsErrno(call: () => unknown, code: ErrnoCode, index?: number): void {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown !== undefined, `expected ${code}, but the call succeeded`);
  if (!isKvmError(thrown)) throw thrown;
  assert.is(thrown.code, code, `expected ${code}: ${thrown.message}`);
  assert.is(thrown.errno, -ERRNO[code]);
  assert.is(thrown.index, index, `entry of the list: ${thrown.message}`);
}

/** Assert a TypeError whose message names the field. */
export function throwsTypeError(call: () => unknown, field: string): void {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown instanceof TypeError, `expected a TypeError about ${field}, got ${String(thrown)}`);
  assert.ok(thrown.message.includes(field), `"${thrown.message}" does not name ${field}`);
}

/** Make GET_DIRTY_LOG leave the bits, so that a snapshot may read them. */
export function enableManualProtect(vm: Implementation): void {
  vm.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
}
