/**
 * A wait of a thread that may sleep: the core sleeps in steps of a few milliseconds, and between two steps this looks
 * at the clock, and whether the thread that is waited for still lives. The event loop does not run meanwhile, so no
 * event tells of a death.
 *
 *   const wait = beginWait(thread, timeout);
 *   let done = attempt(wait.step);
 *   while (!done && goOn(thread, wait)) done = attempt(wait.step);
 */
import { reapGone } from "../core/attached.js";
import type { Place } from "../core/thread.js";

/** Milliseconds of a step. */
const STEP_MS = 5;
/** Milliseconds between two looks for threads that are gone. */
const PROBE_MS = 20;

/** State of a wait. */
export interface Wait {
  /** Milliseconds that the core may sleep next; 0 in a thread that must not. */
  step: number;
  readonly timeout: number;
  /** What the clock has told; undefined until it is first read, which an attempt that succeeds at once saves. */
  clock: { readonly end: number; probed: number } | undefined;
}

/** Begin a wait of `timeout` milliseconds, of 0 in a thread that must not sleep. */
export function beginWait({ blocks }: Place, timeout: number): Wait {
  const ms = blocks ? timeout : 0;
  return { step: ms >= STEP_MS ? STEP_MS : Math.ceil(ms), timeout: ms, clock: undefined };
}

/** After a step in vain: true if there is time for another, of `wait.step`. */
export function goOn(place: Place, wait: Wait): boolean {
  const now = performance.now();
  const clock = (wait.clock ??= { end: now + wait.timeout - wait.step, probed: now });
  const left = clock.end - now;
  if (left <= 0 || now - clock.probed >= PROBE_MS) {
    clock.probed = now;
    // What it held is free: one more step, whatever the time.
    if (reapGone(place, place.owner)) return true;
  }
  wait.step = Math.min(STEP_MS, Math.ceil(Math.max(0, left)));
  return left > 0;
}
