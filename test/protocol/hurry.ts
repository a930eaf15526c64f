/**
 * The end of a hurry, which any thread may bring about: endHurry of assembly/atomic.ts. Its begin, and the wait
 * that leads to it, are in grace.ts.
 */
import { HURRY } from "./machine.js";
import type { Step, Thread } from "./thread.js";

/** Readers of a configuration at most. */
export const SLEEPERS = 3;

export type HurryLabel = "endWait" | "endHurry" | "endCount" | "endNotify";

/**
 * The steps from "endWait" on, for a kind of thread that goes on with `next`. `reaps`: the dead may have ended the
 * hurry and not woken anybody.
 */
export function endSteps<T extends Thread, Next extends string | undefined>(
  next: (me: T) => Next,
  more: Pick<Step<T>, "locked"> = {},
  reaps = false,
): Record<HurryLabel, Step<T, Next | HurryLabel | undefined>> {
  return {
    endWait: {
      ...more,
      says: "takes back that the last reader ends the hurry",
      run(me) {
        const { machine } = me;
        machine.exchange(me, machine.waitingWord, 2, 0);
        return "endHurry";
      },
    },
    endHurry: {
      ...more,
      says: "ends the hurry",
      run(me) {
        const { machine } = me;
        const held = (machine.root & HURRY) !== 0 || (reaps && machine.keeps("reap wakes at the gates"));
        machine.update(me, machine.rootWord, machine.root & ~HURRY);
        if (!held) return next(me);
        return machine.keeps("openings are counted") ? "endCount" : "endNotify";
      },
    },
    endCount: {
      ...more,
      says: "counts the opening",
      run(me) {
        me.countOpening();
        return me.machine.keeps("notify after a hurry") ? "endNotify" : next(me);
      },
    },
    // As on one processor; the fewer are woken, the more depends on those who are.
    endNotify: {
      ...more,
      says: reaps ? "notifies those that wait for it" : "notifies one of those that wait for it",
      choices: SLEEPERS,
      run(me, choice) {
        if (!reaps) return me.notifyOne(me.machine.openingsWord, choice) ? next(me) : undefined;
        if (choice > 0) return undefined;
        me.notifyAll(me.machine.openingsWord);
        return next(me);
      },
    },
  };
}
