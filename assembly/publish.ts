/**
 * Publication and the grace period: one store makes a layout the published one, and what only older layouts
 * reach is recycled when their last reader has left.
 *
 * Invariants
 *  - Roots oldestRoot .. activeRoot (a ring) are alive; activeRoot is the published one.
 *  - What a root keeps alive is recycled only after it and all older roots have no reader, oldest first.
 *
 * Mirrors kvm_swap_active_memslots and synchronize_srcu.
 */
import {
  announceWait,
  endHurry,
  observePin,
  observeRoot,
  postRequest,
  publishRoot,
  sleepOnPin,
  wakeObservers,
} from "./atomic";
import { hurry, mayHurry, noteLate, notePreempted, PATIENCE_MS } from "./hurry";
import { Header, HURRY, ROOTS, Root, WAIT_ASLEEP, WAIT_HURRY } from "./layout";
import { publishedRoot, readerBehind, readerOf, vcpuInside } from "./readers";
import { carryRetired, recycle } from "./recycle";
import { rootAt, spareRoot } from "./roots";

/** Looks at a pin before the writer sleeps: a section is mostly over in less. */
const SPINS: i32 = 300;
/** So many are left when a writer in a crowd begins to hurry: a reader that runs has mostly left by then. */
const SPINS_CROWDED: i32 = SPINS - 32;
/** One sleep; bounded, so that a lost wake-up costs this much and no more. */
export const SLEEP_MS: i64 = 5;

/** Make the spare root, which is complete, the published one. */
export function publishSpare(header: usize): void {
  const engine = changetype<Header>(header);
  const replaced = rootAt(header, engine.activeRoot);
  changetype<Root>(replaced).retiredEnd = engine.retiredTail;
  const number = spareRoot(header);
  engine.activeRoot = number;
  publishRoot(header, rootAt(header, number));
  wakeObservers(header);
}

/**
 * Wait until no replaced layout has a reader of another thread than that of `owner`, for `ms` milliseconds, by the
 * number of sleeps: a caller with a clock asks in steps. A section of the waiting thread itself cannot end meanwhile
 * and is not waited for. True if nothing is left to wait for.
 */
export function awaitReaders(header: usize, owner: u32, ms: i32): bool {
  let done = reclaim(header);
  if (done) return true;
  done = awaitBehind(header, owner, ms);
  if (!done && observeRoot(header) & HURRY) {
    // The writer comes again, or gives up: from now on the last reader that leaves ends its hurry. Look once more.
    announceWait(header, WAIT_HURRY);
    done = reclaim(header);
  }
  if (done) endHurry(header);
  return done;
}

/** awaitReaders while a replaced layout is left. */
function awaitBehind(header: usize, owner: u32, ms: i32): bool {
  let spins = SPINS;
  let left = ms;
  do {
    const reader = readerBehind(header, owner, false);
    if (reader == 0) {
      // Either the last one has just left, or was only about to find its root replaced: look again.
      if (readerBehind(header, owner, true) == 0) continue;
      return true;
    }
    // Behind its begin look again: the last reader may have left meanwhile, and not seen it.
    if ((spins == SPINS_CROWDED || spins == 0) && hurry(header, owner, ms, spins == 0)) continue;
    if (spins > 0) {
      spins--;
      continue;
    }
    if (left <= 0) {
      // A writer that does not sleep asks too, and comes again.
      postRequest(reader, 1);
      noteLate(header);
      return false;
    }
    const pin = observePin(reader);
    if (pin != 0 && pin != publishedRoot(header)) left -= awaitBehindPin(header, owner, reader, pin, left);
  } while (!reclaim(header));
  return true;
}

/** awaitPin; in PATIENCE_MS at first, to find out whether the reader is late. */
function awaitBehindPin(header: usize, owner: u32, reader: usize, pin: usize, left: i32): i32 {
  if (!mayHurry(header)) {
    notePreempted(header, owner);
    return awaitPin(header, reader, pin, min(<i64>left, SLEEP_MS));
  }
  const ms = awaitPin(header, reader, pin, PATIENCE_MS);
  if (observePin(reader) == pin) noteLate(header);
  return ms;
}

/** Recycle what no reader can reach. True if no replaced layout is left. */
export function reclaim(header: usize): bool {
  const engine = changetype<Header>(header);
  // Damage: the ring has no such place, or readers of the published root would be waited for for ever.
  if (engine.activeRoot >= ROOTS || rootAt(header, engine.activeRoot) != publishedRoot(header)) unreachable();
  while (engine.oldestRoot != engine.activeRoot) {
    const root = rootAt(header, engine.oldestRoot);
    if (readerOf(header, root) != 0) return false;
    const next = (engine.oldestRoot + 1) % ROOTS;
    const end = changetype<Root>(root).retiredEnd;
    carryRetired(header, end, rootAt(header, next));
    // The root goes before its chunks do: after a death all roots from the oldest on are whole.
    engine.oldestRoot = next;
    recycle(header, end);
  }
  return true;
}

/** Wait until no vCPU of another thread is inside a section, in steps of `ms` as awaitReaders. False if one stays. */
export function awaitOutside(header: usize, owner: u32, ms: i32): bool {
  let spins = SPINS;
  let left = ms;
  while (true) {
    const reader = vcpuInside(header, owner);
    if (reader == 0) return true;
    const root = observePin(reader);
    if (root == 0) continue;
    if (spins > 0) {
      spins--;
      continue;
    }
    if (left <= 0) {
      postRequest(reader, 1);
      return false;
    }
    left -= awaitPin(header, reader, root, min(<i64>left, SLEEP_MS));
  }
}

/**
 * One sleep of `sleepMs` at most until `reader`, which is asked to, lets `root` go. Returns the milliseconds that it
 * may have taken.
 */
export function awaitPin(header: usize, reader: usize, root: usize, sleepMs: i64): i32 {
  postRequest(reader, 1);
  announceWait(header, WAIT_ASLEEP);
  sleepOnPin(reader, root, sleepMs);
  announceWait(header, 0);
  return <i32>sleepMs;
}
