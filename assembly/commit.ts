/**
 * A writer's way through the engine: lock, stage, commit, unlock. The lock is held from before the list is
 * written to after the last reader of the replaced layout has left, so that there is one writer and one
 * staging area.
 *
 * Times are in milliseconds, by the number of sleeps, because the core has no clock: a caller that has one asks in
 * steps of a few. 0 never sleeps, for threads that must not (a browser's page).
 */
import {
  ALL,
  claimGate,
  closeGate,
  endHurry,
  observeGate,
  observeLock,
  observeOrphan,
  observeSpareTlbs,
  openGate,
  releaseGate,
  sleepOnLock,
  tryLockWriter,
  unlockWriter,
} from "./atomic";
import { E2BIG, EAGAIN, EBUSY, EINVAL, ENOMEM, ETIMEDOUT, OK } from "./errno";
import { allocHeap, freeHeap } from "./heap";
import { hurryEarly } from "./hurry";
import {
  CHECK_GATE,
  CHECK_OWN_SECTION,
  COMMIT_BARRIER,
  COMMIT_TAKE_DIRTY,
  COMMIT_WAIT,
  Header,
  Root,
} from "./layout";
import { awaitOutside, awaitReaders, reclaim } from "./publish";
import { ownSectionOpen, sameThread, vcpuInside } from "./readers";
import { recover } from "./recover";
import { rootAt } from "./roots";
import { checkStaging, setStaging, stagingBytes } from "./staging";
import { freeSpareTlbs } from "./tlb";
import { applyList, PUBLISHED } from "./transaction";
import { noteCheck } from "./validate";
import { dropStagedWindows } from "./windows";

/** Result of a commit: published, but readers of the replaced layout are left; a later commit recycles it. */
const PUBLISHED_PENDING: i32 = 2;

const LOCK_SPINS: i32 = 300;
const LOCK_SLEEP_MS: i64 = 5;

/**
 * Take the writer lock for `owner`, and repair what a dead writer left. EAGAIN if another thread keeps it for `ms`, or
 * readers keep a dead writer's layout; EBUSY if to wait for it is vain: the thread of `owner` has it already, or has a
 * section open that the holder may be waiting for.
 */
export function lockEngine(header: usize, owner: u32, ms: i32): i32 {
  let spins = LOCK_SPINS;
  let left = ms;
  while (!tryLockWriter(header, owner)) {
    const holder = observeLock(header);
    if (sameThread(holder, owner)) return EBUSY;
    if (spins > 0) {
      spins--;
      continue;
    }
    // The holder may be waiting for a section of this very thread.
    if (ownSectionOpen(header, owner)) return EBUSY;
    if (left <= 0) return EAGAIN;
    if (holder != 0) sleepOnLock(header, holder, min(<i64>left, LOCK_SLEEP_MS));
    left -= <i32>LOCK_SLEEP_MS;
  }
  if (observeOrphan(header) && !recover(header, owner, left)) {
    unlockEngine(header);
    return ownSectionOpen(header, owner) ? EBUSY : EAGAIN;
  }
  if (observeSpareTlbs(header)) freeSpareTlbs(header);
  return OK;
}

/** Let the writer lock go. */
export function unlockEngine(header: usize): void {
  unlockWriter(header);
}

/**
 * Room for `count` struct kvm_userspace_memory_region: their address, or E2BIG beyond the engine's maximum,
 * or ENOMEM. The lock must be held from here to the commit.
 */
export function stageList(header: usize, count: u32): f64 {
  const engine = changetype<Header>(header);
  checkStaging(header);
  // Of a caller that staged windows and then gave up.
  if (engine.stagedTables != 0) dropStagedWindows(header);
  if (count > engine.maxListEntries) return E2BIG;
  if (count > engine.stagingEntries) {
    const entries = min(engine.maxListEntries, max(count, engine.stagingEntries << 1));
    const staging = allocHeap(header, stagingBytes(entries));
    if (staging == 0) return ENOMEM;
    const old: usize = engine.staging;
    setStaging(header, staging, entries);
    if (old != <usize>engine.stagingHome) freeHeap(header, old);
  }
  return <f64>engine.staging;
}

/**
 * Apply `count` staged regions, and the windows that were staged with them, as one atomic change. `mode` is a
 * set of COMMIT_* bits: WAIT for the readers of the replaced layout, BARRIER if the vCPUs must be held meanwhile (by
 * beginPause and awaitVcpus before), CHANGED leaves the changed ranges in the staging area. Returns 1 if a new layout
 * was published, 2 if it was and readers of the old one are left after `ms`, 0 if nothing changes, or a negative errno
 * with errorEntry telling the entry and errorCheck the reason; then nothing has happened. After EAGAIN, readers keep
 * every spare layout, what is staged stays: call again once synchronizeReaders has waited for them.
 */
export function commitList(header: usize, owner: u32, count: u32, mode: u32, ms: i32): i32 {
  return commit(header, owner, count, false, mode, ms);
}

/** The same for one staged struct kvm_userspace_memory_region2. */
export function commitRegion2(header: usize, owner: u32, mode: u32, ms: i32): i32 {
  return commit(header, owner, 1, true, mode, ms);
}

function commit(header: usize, owner: u32, count: u32, version2: bool, mode: u32, ms: i32): i32 {
  const waits = (mode & COMMIT_WAIT) != 0;
  const hurries = waits && ms > 0 && !(mode & COMMIT_BARRIER) && hurryEarly(header);
  let result = publishList(header, owner, count, version2, mode);
  if (result != EAGAIN && changetype<Header>(header).stagedTables != 0) dropStagedWindows(header);
  if (result == PUBLISHED && waits && !awaitReaders(header, owner, ms)) result = PUBLISHED_PENDING;
  // Of one that is pending the last reader that leaves ends the hurry.
  if (hurries && result != PUBLISHED_PENDING) endHurry(header);
  return result;
}

/** Publish, if it may be now. */
function publishList(header: usize, owner: u32, count: u32, version2: bool, mode: u32): i32 {
  const engine = changetype<Header>(header);
  engine.errorEntry = -1;
  engine.errorCheck = 0;
  // Sections of the waiting thread itself do not end meanwhile, and could still add to the logs it is to get.
  const final = COMMIT_WAIT | COMMIT_TAKE_DIRTY;
  if ((mode & final) == final && ownSectionOpen(header, owner)) {
    return noteCheck(header, CHECK_OWN_SECTION, EBUSY);
  }
  // Behind another owner's gate: should that owner die, its gate would open in the middle of this commit.
  // Behind an own one that beginPause has closed: vCPUs may be inside yet.
  if (mode & COMMIT_BARRIER && (!sameThread(observeGate(header), owner) || vcpuInside(header, owner) != 0)) {
    return noteCheck(header, CHECK_GATE, EBUSY);
  }
  reclaim(header);
  const result = applyList(header, count, version2, mode);
  return result == EBUSY ? EAGAIN : result;
}

/**
 * The logs that the last commit with COMMIT_TAKE_DIRTY has ended, at the start of the staging area: how many
 * they are. They are final once their layout is recycled; that frees them, but their memory stays as it is while the
 * lock is held, which must be so since the commit.
 */
export function endedLogs(header: usize): u32 {
  return changetype<Header>(header).endedCount;
}

/**
 * Wait until the readers of all replaced layouts are gone: OK, or ETIMEDOUT. Sections of the thread of `owner` are
 * not waited for. The lock must be held. Mirrors synchronize_srcu.
 */
export function synchronizeReaders(header: usize, owner: u32, ms: i32): i32 {
  return awaitReaders(header, owner, ms) ? OK : ETIMEDOUT;
}

/**
 * Number of the oldest layout that may still have readers: those before it are recycled. The lock must be
 * held.
 */
export function oldestCommit(header: usize): f64 {
  reclaim(header);
  return <f64>changetype<Root>(rootAt(header, changetype<Header>(header).oldestRoot)).commit;
}

/**
 * Close the gate: all vCPUs of other threads are held between two sections, until resumeVcpus, once awaitVcpus has
 * returned OK. EBUSY if it is closed already. The lock must be held. Mirrors QEMU's pause_all_vcpus.
 */
export function beginPause(header: usize, owner: u32): i32 {
  if (!claimGate(header, owner)) return EBUSY;
  closeGate(header);
  return OK;
}

/**
 * OK if no vCPU of another thread is inside a section, ETIMEDOUT if one stays for `ms`. The gate is closed, and stays
 * so, or vCPUs that are inside at most times would never all be out at one look.
 */
export function awaitVcpus(header: usize, owner: u32, ms: i32): i32 {
  return awaitOutside(header, owner, ms) ? OK : ETIMEDOUT;
}

/**
 * Let the vCPUs go that `owner` holds: OK, or EINVAL. `inTurn` 0: wakes all of them; 1: as many as there are
 * processors, each of which wakes one more, and returns sooner. The lock must be held.
 */
export function resumeVcpus(header: usize, owner: u32, inTurn: u32): i32 {
  if (observeGate(header) != owner) return EINVAL;
  openGate(header, inTurn != 0 ? <i32>max(changetype<Header>(header).processors, 1) : ALL);
  releaseGate(header);
  return OK;
}
