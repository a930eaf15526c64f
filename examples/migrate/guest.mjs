/**
 * The guest: it counts. Each vCPU adds its count to words of a working set of pages as fast as it can, and from time to
 * time to one of the next page of all memory, so that dirty pages are many first and few when the working set is all
 * that is left. A sum that is lost once is wrong for ever.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";

export const VCPUS = 2;
export const RAM_BYTES = 64 * 2 ** 20;
export const PAGE = 4096;
/** Pages that a vCPU writes all the time. */
const HOT_PAGES = 32;
/** Sums between two in other pages. */
const SUMS_PER_STRAY = 2 ** 17;
/** Guest address of the upper half of the RAM. */
const HIGH = 2 ** 32;

/** RAM below and above 4 GiB, and a ROM that is a part of it. Byte 0 of the RAM is host address 0. */
export function mapGuest(engine) {
  const ram = { flags: KVM_MEM_LOG_DIRTY_PAGES };
  const rom = { flags: KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY };
  const half = RAM_BYTES / 2;
  engine.setUserMemoryRegionList([
    { slot: 0, ...ram, guestPhysAddr: 0, memorySize: half, userspaceAddr: 0 },
    { slot: 1, ...ram, guestPhysAddr: HIGH, memorySize: half, userspaceAddr: half },
    { slot: 2, ...rom, guestPhysAddr: 0xfff0_0000, memorySize: 16 * PAGE, userspaceAddr: half },
  ]);
}

/** Some sums of vCPU `index`. Its register, the count, is in shared memory before the section ends. */
export function runGuest(memory, registers, index, sums) {
  let count = Number(registers[index]);
  const add = (gpa) => memory.setUint32(gpa, (memory.getUint32(gpa, true) + count) >>> 0, true);
  const own = HIGH + index * HOT_PAGES * PAGE;
  for (const end = count + sums; count < end; ) {
    count++;
    add(own + ((count * 12) % (HOT_PAGES * PAGE)));
    if (count % SUMS_PER_STRAY === 0) {
      add(((count / SUMS_PER_STRAY) * VCPUS * PAGE + index * PAGE) % (RAM_BYTES / 2));
    }
  }
  registers[index] = BigInt(count);
}
