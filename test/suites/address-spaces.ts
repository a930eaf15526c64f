/** Address spaces share nothing but the calls: same ids, same gfns, generations of their own residue class. */
import * as assert from "uvu/assert";
import { ERRNO } from "../../src/kvm/errno.js";
import { HVA_BAD, KVM_CAP_MULTI_ADDRESS_SPACE, KVM_MEM_LOG_DIRTY_PAGES } from "../../src/kvm/uapi.js";
import {
  __setMemoryRegion,
  behaviour,
  type Create,
  deleteMemoryRegion,
  enableManualProtect,
  setMemoryRegion,
} from "../support/implementation.js";
import { memoryRegion, PAGE, slotNumber } from "../support/region.js";

const HVA = 0x10_0000_0000;
const SIZE = 4 * PAGE;

/** Host address that belongs to an address space alone. */
function hvaOf(asId: number): number {
  return HVA + asId * 0x1000_0000;
}

export function addressSpacesSuite(name: string, create: Create): void {
  behaviour(`${name} address-spaces`, create, (check) => {
    for (const addressSpaces of [1, 2, 3, 4]) {
      const asIds = [...Array(addressSpaces).keys()];
      const of = `of ${addressSpaces}`;

      check(`each ${of} starts empty at its own generation`, { addressSpaces }, (vm) => {
        assert.is(vm.checkExtension(KVM_CAP_MULTI_ADDRESS_SPACE), addressSpaces === 1 ? 0 : addressSpaces);
        for (const asId of asIds) {
          assert.equal(vm.slots(asId), []);
          assert.is(vm.generation(asId), asId);
          assert.is(vm.gpaToHva(0, asId), HVA_BAD);
        }
      });

      check(`each ${of} maps the same id and gfn to a place of its own`, { addressSpaces }, (vm) => {
        for (const asId of asIds) setMemoryRegion(vm, slotNumber(asId, 7), 0, SIZE, SIZE, hvaOf(asId));
        for (const asId of asIds) {
          assert.is(vm.gpaToHva(SIZE, asId), hvaOf(asId));
          assert.equal(vm.slots(asId), [memoryRegion(slotNumber(asId, 7), 0, SIZE, SIZE, hvaOf(asId))]);
          const vcpu = vm.vcpu({ asId });
          vcpu.enter();
          assert.is(vcpu.gpaToHva(SIZE), hvaOf(asId));
          assert.is(vcpu.gfnToSlot(SIZE / PAGE), slotNumber(asId, 7));
          vcpu.exit();
          vcpu.release();
        }
      });

      check(`overlap ${of} is a matter of one address space`, { addressSpaces }, (vm) => {
        for (const asId of asIds) {
          assert.is(__setMemoryRegion(vm, slotNumber(asId, 0), 0, 0, SIZE, HVA), 0);
          assert.is(__setMemoryRegion(vm, slotNumber(asId, 1), 0, 0, SIZE, HVA), -ERRNO.EEXIST);
        }
      });

      check(`a delete in one ${of} leaves the others`, { addressSpaces }, (vm) => {
        for (const asId of asIds) setMemoryRegion(vm, slotNumber(asId, 3), 0, 0, SIZE, hvaOf(asId));
        for (const gone of asIds) {
          deleteMemoryRegion(vm, slotNumber(gone, 3));
          for (const asId of asIds) assert.is(vm.gpaToHva(0, asId), asId <= gone ? HVA_BAD : hvaOf(asId));
        }
      });

      check(
        `generations ${of} advance by ${addressSpaces}, each in its own class`,
        { addressSpaces },
        (vm) => {
          for (const asId of asIds) {
            const before = asIds.map((other) => vm.generation(other));
            setMemoryRegion(vm, slotNumber(asId, 0), 0, 0, SIZE, HVA);
            deleteMemoryRegion(vm, slotNumber(asId, 0));
            for (const other of asIds) {
              const advanced = other === asId ? 2 * addressSpaces : 0;
              assert.is(vm.generation(other), before[other]! + advanced);
              assert.is(vm.generation(other) % addressSpaces, other);
            }
          }
        },
      );

      check(`dirty logs ${of} are apart`, { addressSpaces }, (vm) => {
        enableManualProtect(vm);
        for (const asId of asIds)
          setMemoryRegion(vm, slotNumber(asId, 0), KVM_MEM_LOG_DIRTY_PAGES, 0, SIZE, HVA);
        for (const asId of asIds) vm.markDirty(asId * PAGE, asId);
        for (const asId of asIds) {
          assert.equal([...vm.getDirtyLog(slotNumber(asId, 0))], [1 << asId, 0, 0, 0, 0, 0, 0, 0]);
        }
      });
    }

    check("the address space is 0 if none is given", { addressSpaces: 2 }, (vm) => {
      setMemoryRegion(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, SIZE, hvaOf(0));
      setMemoryRegion(vm, slotNumber(1, 0), KVM_MEM_LOG_DIRTY_PAGES, 0, SIZE, hvaOf(1));
      assert.is(vm.gpaToHva(0), hvaOf(0));
      assert.is(vm.gpaToHvaRead(0), hvaOf(0));
      vm.markDirty(0);
      assert.is(vm.getDirtyLog(0)[0], 1);
      assert.is(vm.getDirtyLog(slotNumber(1, 0))[0], 0);
      assert.is(vm.generation(), vm.generation(0));
    });
  });
}
