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
  claimGate,
  closeGate,
  observeOwner,
  observePin,
  observeRoot,
  openGate,
  postRequest,
  publishRoot,
  releaseGate,
  sleepOnPin,
  wakeObservers,
} from "./atomic";
import { GATE_CLOSED, Header, READER_BYTES, ROOTS, Root } from "./layout";
import { readerLines, readerOf, vcpuInside } from "./readers";
import { carryRetired, recycle } from "./recycle";
import { rootAt, spareRoot } from "./roots";

/** Looks at a pin before the writer sleeps: a section is mostly over in less. */
const SPINS: i32 = 300;
/** One sleep; bounded, so that a lost wake-up costs this much and no more. */
const SLEEP_MS: i64 = 5;

/** The published root. */
export function publishedRoot(header: usize): usize {
  return observeRoot(header) & ~GATE_CLOSED;
}

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

/** Recycle what no reader can reach. True if no replaced layout is left. */
export function reclaim(header: usize): bool {
  const engine = changetype<Header>(header);
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

/**
 * A line with a replaced layout pinned, 0 if there is none: one of `owner` with `own`, else one of another thread.
 */
function readerBehind(header: usize, owner: u32, own: bool): usize {
  const root = publishedRoot(header);
  const lines = readerLines(header);
  let reader: usize = changetype<Header>(header).readers;
  for (let i: u32 = 0; i < lines; i++) {
    const pin = observePin(reader);
    if (pin != 0 && pin != root && (observeOwner(reader) == owner) == own) return reader;
    reader += READER_BYTES;
  }
  return 0;
}

/**
 * Wait until no replaced layout has a reader of another thread than `owner`, for `ms` milliseconds at most. A
 * section of the waiting thread itself cannot end meanwhile and is not waited for. True if nothing is left to
 * wait for.
 */
export function awaitReaders(header: usize, owner: u32, ms: i32): bool {
  let spins = SPINS;
  let left = ms;
  while (!reclaim(header)) {
    const reader = readerBehind(header, owner, false);
    if (reader == 0) {
      // Either the last one has just left, or was only about to find its root replaced: look again.
      if (readerBehind(header, owner, true) == 0) continue;
      return true;
    }
    if (spins > 0) {
      spins--;
      continue;
    }
    if (left <= 0) {
      // A writer that does not sleep asks too, and comes again.
      postRequest(reader, 1);
      return false;
    }
    const pin = observePin(reader);
    if (pin != 0 && pin != publishedRoot(header)) left -= awaitPin(header, reader, pin);
  }
  return true;
}

/**
 * One bounded sleep until `reader`, which is asked to, lets `root` go. Returns the milliseconds it may have
 * taken.
 */
export function awaitPin(header: usize, reader: usize, root: usize): i32 {
  postRequest(reader, 1);
  announceWait(header, 1);
  sleepOnPin(reader, root, SLEEP_MS);
  announceWait(header, 0);
  return <i32>SLEEP_MS;
}

/**
 * Close the gate for `owner` and wait until no vCPU of another thread is inside a section, for `ms`
 * milliseconds at most. False, and the gate open, if one stays.
 */
export function holdVcpus(header: usize, owner: u32, ms: i32): bool {
  closeGate(header);
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
    if (left <= 0) break;
    left -= awaitPin(header, reader, root);
  }
  openGate(header);
  return false;
}

/** Let the vCPUs go. */
export function releaseVcpus(header: usize): void {
  openGate(header);
  releaseGate(header);
}

/** Take the gate. False while another owner, or this one, has it. */
export function takeGate(header: usize, owner: u32): bool {
  return claimGate(header, owner);
}
