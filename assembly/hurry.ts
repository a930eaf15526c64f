/**
 * Hurry: a writer whose grace period does not end soon keeps vCPUs from new sections until the readers of the
 * replaced layouts are gone. A reader that is preempted inside its section keeps its layout until it has a processor
 * again; while the others sleep, it has one at once.
 *
 * Invariants
 *  - No section is held twice, and none for longer than HURRY_MS.
 *  - A publication has one hurry at most.
 *  - Nothing but time depends on it: a vCPU may pass at any moment, and any thread may end the hurry. So it has no
 *    owner, and a writer that dies in it leaves nothing to repair.
 */
import { announceWait, beginHurry, observeOwner, observeRoot } from "./atomic";
import { GATE_CLOSED, Header, READER_BYTES, Root, WAIT_HURRY } from "./layout";
import { publishedRoot, sameThread } from "./readers";

/** A section that began before the publication and lasts so long was preempted: sections last some 10 to 100 us. */
export const PATIENCE_MS: i64 = 1;
/** Commits that begin with a hurry after one whose reader was preempted; then one begins without, to find out. */
const HASTY: u32 = 16;

/**
 * Begin a hurry, if it is time for one: soon where more threads run than there are processors; else when the writer
 * has looked long enough, `spun`, and a reader was late, or one was lately. False if it was none. With `ms` 0 the
 * caller does not sleep, and the last reader that leaves ends the hurry.
 */
export function hurry(header: usize, owner: u32, ms: i32, spun: bool): bool {
  if (!mayHurry(header)) return false;
  const engine = changetype<Header>(header);
  const commit = publication(header);
  if (!crowded(header, owner)) {
    if (!spun) return false;
    if (engine.late == commit) engine.hasty = HASTY;
    else if (engine.hasty != 0) engine.hasty -= 1;
    else return false;
  }
  engine.hurried = commit;
  // The vCPUs are held already.
  if (observeRoot(header) & GATE_CLOSED) return false;
  beginHurry(header);
  if (ms == 0) announceWait(header, WAIT_HURRY);
  return true;
}

/**
 * Begin the hurry of a commit before it is built, if those before it have met readers that were preempted: vCPUs that
 * have a processor are at the gate by the publication. True if it has begun, and the caller has to end it.
 */
export function hurryEarly(header: usize): bool {
  const engine = changetype<Header>(header);
  if (engine.hasty == 0 || engine.processors == 0) return false;
  engine.hasty -= 1;
  if (observeRoot(header) & GATE_CLOSED) return false;
  engine.hurried = publication(header) + 1;
  beginHurry(header);
  return true;
}

/** A reader is still there although its vCPUs are held: in a crowd it has lost its processor. */
export function notePreempted(header: usize, owner: u32): void {
  if (crowded(header, owner)) changetype<Header>(header).hasty = HASTY;
}

/** Whether the published layout may still have its hurry. */
export function mayHurry(header: usize): bool {
  const engine = changetype<Header>(header);
  return engine.processors != 0 && engine.hurried != publication(header);
}

/** A reader of a layout that the published one has replaced has not left in PATIENCE_MS, or a turn of the thread. */
export function noteLate(header: usize): void {
  changetype<Header>(header).late = publication(header);
}

/** The low half of the published layout's number. */
function publication(header: usize): u32 {
  return <u32>changetype<Root>(publishedRoot(header)).commit;
}

/** True if vCPUs of so many other threads are claimed that the writer's makes one more than there are processors. */
function crowded(header: usize, owner: u32): bool {
  const engine = changetype<Header>(header);
  let threads: u32 = 1;
  let last: u32 = owner;
  let reader: usize = engine.readers;
  for (let i: u32 = 0; i < engine.maxVcpus; i++) {
    const other = observeOwner(reader);
    // A thread claims its vCPUs one after the other, if it has several.
    if (other != 0 && !sameThread(other, owner) && !sameThread(other, last)) threads++;
    if (other != 0) last = other;
    reader += READER_BYTES;
  }
  return threads > engine.processors;
}
