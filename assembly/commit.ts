/**
 * A writer's way through the engine: lock, stage, commit, unlock. The lock is held from before the list is
 * written to after the last reader of the replaced layout has left, so that there is one writer and one
 * staging area.
 *
 * Times are in milliseconds. 0 never sleeps, for threads that must not (a browser's page).
 */
import {
  closeGate,
  observeGate,
  observeLock,
  observeOrphan,
  sleepOnLock,
  tryLockWriter,
  unlockWriter,
} from "./atomic";
import { E2BIG, EBUSY, EINVAL, ENOMEM, ETIMEDOUT, OK } from "./errno";
import { allocHeap, freeHeap } from "./heap";
import { COMMIT_BARRIER, COMMIT_TAKE_DIRTY, COMMIT_WAIT, Header, REGION_BYTES, Region, Root } from "./layout";
import { awaitReaders, holdVcpus, reclaim, releaseVcpus, takeGate } from "./publish";
import { ownSectionOpen, vcpuInside } from "./readers";
import { recover } from "./recover";
import { rootAt } from "./roots";
import { setStaging, stagingBytes } from "./staging";
import { applyList, PUBLISHED } from "./transaction";
import { sumViews } from "./views";
import { dropStagedWindows } from "./windows";

/** Result of a commit: published, but readers of the replaced layout are left; a later commit recycles it. */
const PUBLISHED_PENDING: i32 = 2;

const LOCK_SPINS: i32 = 300;
const LOCK_SLEEP_MS: i64 = 5;

/**
 * Take the writer lock for `owner`, and repair what a dead writer left. EBUSY if another thread keeps it for
 * `ms`, if `owner` has it already, or if readers keep a dead writer's layout.
 */
export function lockEngine(header: usize, owner: u32, ms: i32): i32 {
  let spins = LOCK_SPINS;
  let left = ms;
  while (!tryLockWriter(header, owner)) {
    const holder = observeLock(header);
    if (holder == owner) return EBUSY;
    if (spins > 0) {
      spins--;
      continue;
    }
    // The holder may be waiting for a section of this very thread.
    if (left <= 0 || ownSectionOpen(header, owner)) return EBUSY;
    if (holder != 0) sleepOnLock(header, holder, LOCK_SLEEP_MS);
    left -= <i32>LOCK_SLEEP_MS;
  }
  if (observeOrphan(header) && !recover(header, owner, left)) {
    unlockWriter(header);
    return EBUSY;
  }
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
  // Of a caller that staged windows and then gave up.
  dropStagedWindows(header);
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

/** Build and publish; once more if the spare copies were in use and their readers leave in time. */
function apply(header: usize, owner: u32, count: u32, version2: bool, mode: u32, ms: i32): i32 {
  reclaim(header);
  const result = applyList(header, count, version2, mode);
  if (result != EBUSY || !awaitReaders(header, owner, ms)) return result;
  return applyList(header, count, version2, mode);
}

/** Publish, with the vCPUs held if that is asked for. */
function publishList(header: usize, owner: u32, count: u32, version2: bool, mode: u32, ms: i32): i32 {
  changetype<Header>(header).errorEntry = -1;
  // Sections of the waiting thread itself do not end meanwhile, and could still add to the logs it is to get.
  const final = COMMIT_WAIT | COMMIT_TAKE_DIRTY;
  if ((mode & final) == final && ownSectionOpen(header, owner)) return EBUSY;
  const barrier = (mode & COMMIT_BARRIER) != 0;
  const gate = barrier && takeGate(header, owner);
  // Behind another owner's gate: should that owner die, its gate would open in the middle of this commit.
  // Behind an own one that beginPause has closed: vCPUs may be inside yet.
  if (barrier && !gate && (observeGate(header) != owner || vcpuInside(header, owner) != 0)) return EBUSY;
  if (gate && !holdVcpus(header, owner, ms)) {
    releaseVcpus(header);
    return ETIMEDOUT;
  }
  const result = apply(header, owner, count, version2, mode, ms);
  if (gate) releaseVcpus(header);
  return result;
}

function commit(header: usize, owner: u32, count: u32, version2: bool, mode: u32, ms: i32): i32 {
  const result = publishList(header, owner, count, version2, mode, ms);
  dropStagedWindows(header);
  if (result != PUBLISHED || !(mode & COMMIT_WAIT)) return result;
  return awaitReaders(header, owner, ms) ? PUBLISHED : PUBLISHED_PENDING;
}

/**
 * Apply `count` staged regions, and the windows that were staged with them, as one atomic change. `mode` is a
 * set of COMMIT_* bits: WAIT for the readers of the replaced layout, BARRIER holds all vCPUs between sections
 * meanwhile, CHANGED leaves the changed ranges in the staging area. Returns 1 if a new layout was published, 2
 * if it was and readers of the old one are left after `ms`, 0 if nothing changes, or a negative errno with
 * errorEntry telling the entry; then nothing has happened.
 */
export function commitList(header: usize, owner: u32, count: u32, mode: u32, ms: i32): i32 {
  return commit(header, owner, count, false, mode, ms);
}

/**
 * The logs that the last commit with COMMIT_TAKE_DIRTY has ended, at the start of the staging area: how many
 * they are. What is dirty for any consumer is dirty in them. They are final once their layout is recycled;
 * that frees them, but their memory stays as it is while the lock is held, which must be so since the commit.
 */
export function endedLogs(header: usize): u32 {
  const engine = changetype<Header>(header);
  const shift = <u64>engine.pageShift;
  for (let i: u32 = 0; i < engine.endedCount; i++) {
    const log = changetype<Region>(<usize>engine.staging + i * REGION_BYTES);
    sumViews(<usize>log.userspaceAddr, <u32>(log.memorySize >> shift));
  }
  return engine.endedCount;
}

/** The same for one staged struct kvm_userspace_memory_region2. */
export function commitRegion2(header: usize, owner: u32, mode: u32, ms: i32): i32 {
  return commit(header, owner, 1, true, mode, ms);
}

/**
 * Wait until the readers of all replaced layouts are gone: OK, or ETIMEDOUT. Sections of `owner` itself are
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
 * Hold all vCPUs of other threads between two sections until resumeVcpus: OK, EBUSY if they are held already,
 * or ETIMEDOUT if one does not leave its section. The lock must be held. Mirrors QEMU's pause_all_vcpus.
 */
export function pauseVcpus(header: usize, owner: u32, ms: i32): i32 {
  if (!takeGate(header, owner)) return EBUSY;
  if (holdVcpus(header, owner, ms)) return OK;
  releaseVcpus(header);
  return ETIMEDOUT;
}

/**
 * The same for a thread that must not sleep: OK closes the gate, and the vCPUs are held as soon as none is
 * inside. The gate stays closed between its looks, or vCPUs that are inside at most times would never all be
 * out at one of them.
 */
export function beginPause(header: usize, owner: u32): i32 {
  if (!takeGate(header, owner)) return EBUSY;
  closeGate(header);
  return OK;
}

/** 1 if a vCPU of another thread than `owner` is inside a section. */
export function vcpusInside(header: usize, owner: u32): i32 {
  return vcpuInside(header, owner) != 0 ? 1 : 0;
}

/** Let the vCPUs go that `owner` holds: OK, or EINVAL. The lock must be held. */
export function resumeVcpus(header: usize, owner: u32): i32 {
  if (observeGate(header) != owner) return EINVAL;
  releaseVcpus(header);
  return OK;
}
