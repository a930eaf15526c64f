/**
 * Properties of every list, checked on random ones: address space 0 takes the entries one by one, address space 1
 * the list, and both begin each time with the same slots.
 */
import * as assert from "uvu/assert";
import type { Slot } from "../../src/kvm/region.js";
import type { UserspaceMemoryRegion } from "../../src/kvm/uapi.js";
import { firstDifference } from "../support/difference.js";
import { behaviour, type Create, errnoOf, type Implementation } from "../support/implementation.js";
import { random } from "../support/random.js";
import { deletion } from "../support/region.js";
import { type Lookups, lookUp } from "../support/snapshot.js";
import { Swarm } from "../support/swarm.js";
import { drawShape, type Shape } from "../support/swarmshape.js";

const OPTIONS = {
  addressSpaces: 2,
  maxSlots: 8,
  maxListEntries: 64,
  pageShift: 12,
  maxPhysAddrBits: 52,
  maxUserAddrBits: 47,
};
const WINDOW_PAGES = 16;
const SECOND = 0x1_0000;
const LISTS = 200;

function inSecond(entries: readonly UserspaceMemoryRegion[]): UserspaceMemoryRegion[] {
  return entries.map((entry) => ({ ...entry, slot: entry.slot + SECOND }));
}

function slotsOfSecond(vm: Implementation): Slot[] {
  return vm.slots(1).map((slot) => ({ ...slot, slot: slot.slot - SECOND }));
}

function lookups(vm: Implementation, asId: number): Pick<Lookups, "write" | "read"> {
  const vcpu = vm.vcpu({ asId });
  vcpu.enter();
  const { write, read } = lookUp(vcpu, [...Array(WINDOW_PAGES + 4).keys()], OPTIONS.pageShift);
  vcpu.exit();
  vcpu.release();
  return { write, read };
}

/** Makes the slots of the first address space those of the second again. */
function align(vm: Implementation): void {
  vm.setUserMemoryRegionList([...vm.slots(0).map(({ slot }) => deletion(slot)), ...slotsOfSecond(vm)]);
}

function assertAlike(vm: Implementation): void {
  assert.is(firstDifference(slotsOfSecond(vm), vm.slots(0), "slots"), undefined);
  assert.is(firstDifference(lookups(vm, 1), lookups(vm, 0), "lookups"), undefined);
}

/** Lists of a tight window, such as the differential run draws them. */
function drawLists(vm: Implementation, seed: number, listLength: number): () => UserspaceMemoryRegion[] {
  const draw = random(seed);
  const shape: Shape = {
    ...drawShape(draw),
    options: { ...OPTIONS, addressSpaces: 1 },
    ids: [0, 1, 2, 3, 4],
    populate: 0,
    startGfn: 1,
    windowPages: WINDOW_PAGES,
    spoil: 0,
    listLength,
    weights: new Map([["list", 1]]),
  };
  const swarm = new Swarm(draw, shape, vm);
  return () => {
    const op = swarm.next();
    return op.op === "list" ? op.regions : [];
  };
}

export function listPropertiesSuite(name: string, create: Create): void {
  behaviour(`${name} list-properties`, create, (check) => {
    for (const seed of [1, 2, 3]) {
      check(`a list of one entry answers like the ioctl (seed ${seed})`, OPTIONS, (vm) => {
        const next = drawLists(vm, seed, 4);
        let accepted = 0;
        for (let i = 0; i < LISTS; i++) {
          for (const entry of next()) {
            const errno = errnoOf(() => vm.setUserMemoryRegion(entry));
            const asList = errnoOf(() => vm.setUserMemoryRegionList(inSecond([entry])));
            assert.is(asList, errno, JSON.stringify(entry));
            if (errno === 0) accepted++;
            assertAlike(vm);
            // Two address spaces whose generations are one apart have seen as many publications.
            assert.is(vm.generation(1), vm.generation(0) + 1);
          }
        }
        assert.ok(accepted > 20, `${accepted} accepted`);
      });

      check(
        `what succeeds one by one succeeds as a list, and maps the same (seed ${seed})`,
        OPTIONS,
        (vm) => {
          const next = drawLists(vm, seed, 6);
          let oneByOne = 0;
          let asListOnly = 0;
          for (let i = 0; i < LISTS; i++) {
            const entries = next();
            const accepted = entries.every((entry) => errnoOf(() => vm.setUserMemoryRegion(entry)) === 0);
            const errno = errnoOf(() => vm.setUserMemoryRegionList(inSecond(entries)));
            if (accepted) {
              assert.is(errno, 0, JSON.stringify(entries));
              assertAlike(vm);
              oneByOne++;
            } else {
              if (errno === 0) asListOnly++;
              align(vm);
            }
          }
          assert.ok(oneByOne > 20, `${oneByOne} accepted one by one`);
          assert.ok(asListOnly > 0, `${asListOnly} accepted as a list alone`);
        },
      );
    }
  });
}
