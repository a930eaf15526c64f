/**
 * A writer's way through the engine: lock, stage, commit, unlock. The lock is held from before the list is written to
 * after the last reader of the replaced layout has left, so that there is one writer and one staging area.
 */
import { tryLockWriter, unlockWriter } from "./atomic";
import { stagingBytes } from "./create";
import { E2BIG, EBUSY, ENOMEM, OK } from "./errno";
import { allocHeap, freeHeap } from "./heap";
import { Header } from "./layout";
import { awaitReaders, reclaim } from "./publish";
import { applyList } from "./transaction";

/** Take the writer lock for `owner`: OK, or EBUSY while another thread has it. */
export function lockEngine(header: usize, owner: u32): i32 {
  return tryLockWriter(header, owner) ? OK : EBUSY;
}

export function unlockEngine(header: usize): void {
  unlockWriter(header);
}

/**
 * Room for `count` struct kvm_userspace_memory_region: their address, or E2BIG beyond the engine's maximum, or ENOMEM.
 * The lock must be held from here to the commit.
 */
export function stageList(header: usize, count: u32): f64 {
  const engine = changetype<Header>(header);
  if (count > engine.maxListEntries) return E2BIG;
  if (count > engine.stagingEntries) {
    const entries = min(engine.maxListEntries, max(count, engine.stagingEntries << 1));
    const staging = allocHeap(header, stagingBytes(entries));
    if (staging == 0) return ENOMEM;
    const old: usize = engine.staging;
    engine.staging = <u32>staging;
    engine.stagingEntries = entries;
    if (old >= engine.heapStart) freeHeap(header, old);
  }
  return <f64>engine.staging;
}

function commit(header: usize, owner: u32, count: u32, version2: bool, ms: i32): i32 {
  reclaim(header);
  let result = applyList(header, count, version2);
  if (result == EBUSY && awaitReaders(header, owner, ms)) result = applyList(header, count, version2);
  if (result > 0) awaitReaders(header, owner, ms);
  return result;
}

/**
 * Apply `count` staged regions as one atomic change: 1 if a new layout was published, 0 if nothing changes, or a
 * negative errno with errorEntry telling the entry; then nothing has happened.
 */
export function commitList(header: usize, owner: u32, count: u32, ms: i32): i32 {
  return commit(header, owner, count, false, ms);
}

/** The same for one staged struct kvm_userspace_memory_region2. */
export function commitRegion2(header: usize, owner: u32, ms: i32): i32 {
  return commit(header, owner, 1, true, ms);
}
