/** One piece of memory, the same in two pieces, and the way back. Host addresses are the guest's and HOST. */
const PAGE = 4096;
const PAGES = 64;
const HOST = 0x7000_0000;

function region(slot, firstPage, pages) {
  const guestPhysAddr = firstPage * PAGE;
  return { slot, flags: 0, guestPhysAddr, memorySize: pages * PAGE, userspaceAddr: HOST + guestPhysAddr };
}

const [whole, low, high] = [region(0, 0, PAGES), region(1, 0, 16), region(2, 16, PAGES - 16)];
const deleted = ({ slot }) => ({ ...region(slot, 0, 0), userspaceAddr: 0 });

export const WHOLE = [whole];
export const SPLIT = [deleted(whole), low, high];
export const MERGE = [deleted(low), deleted(high), whole];

/** Read every page within one section: how many reads, and how many of them missed. */
export function readAll(vcpu) {
  let misses = 0;
  vcpu.enter();
  for (let gpa = 0; gpa < PAGES * PAGE; gpa += PAGE) if (vcpu.gpaToHva(gpa) !== HOST + gpa) misses++;
  vcpu.exit();
  return { reads: PAGES, misses };
}
