/** The writer's lock: lockEngine, tryLockWriter, unlockWriter. */
import { startOperation } from "./grace.js";
import { PHASE } from "./phase.js";
import type { Program } from "./thread.js";
import type { Next, Writer } from "./writer.js";

export type LockLabel =
  | "tryLock"
  | "lookAtHolder"
  | "announceLockWait"
  | "sleepOnLock"
  | "asleepOnLock"
  | "awakeFromLock"
  | "lookForOrphan"
  | "unlock"
  | "lookForWaiters"
  | "notifyLock";

function unlocked(me: Writer): Next {
  const { machine } = me;
  const goesOn = me.phase === PHASE.grace && !machine.keeps("recycle before unlock");
  return goesOn && machine.oldest !== machine.active ? "look" : me.returnToCaller();
}

export const LOCK_STEPS: Program<LockLabel, Writer, Next> = {
  tryLock: {
    says: "tries to take the lock",
    run(me) {
      const { machine } = me;
      if (!machine.keeps("one writer")) return "lookForOrphan";
      const holder = machine.exchange(me, machine.lockWord, 0, me.token);
      return holder === 0 ? "lookForOrphan" : "lookAtHolder";
    },
  },
  lookAtHolder: {
    says: "looks who has the lock",
    run(me) {
      const { machine } = me;
      // EBUSY: the holder may be waiting for the very section that this thread would sleep in.
      if (me.ownLine >= 0 && machine.keeps("no sleep for the lock in a section")) return me.returnToCaller();
      me.holder = machine.lock;
      if (me.holder === 0) return "tryLock";
      return machine.keeps("announce the wait for the lock") ? "announceLockWait" : "sleepOnLock";
    },
  },
  announceLockWait: {
    says: "counts itself among those that wait for the lock",
    run(me) {
      me.machine.update(me, me.machine.lockWaitersWord, me.machine.lockWaiters + 1);
      return "sleepOnLock";
    },
  },
  sleepOnLock: {
    says: "goes to sleep on the lock, unless it has changed",
    run: (me) =>
      me.machine.stillHolds(me, me.machine.lockWord, me.holder) ? "asleepOnLock" : "awakeFromLock",
  },
  asleepOnLock: {
    says: "has slept long enough",
    asleep: true,
    run: () => "awakeFromLock",
  },
  awakeFromLock: {
    says: "counts itself out",
    run(me) {
      const { machine } = me;
      me.holder = 0;
      if (machine.keeps("announce the wait for the lock")) {
        machine.update(me, machine.lockWaitersWord, machine.lockWaiters - 1);
      }
      return "tryLock";
    },
  },
  lookForOrphan: {
    says: "has the lock, and asks if its last holder died",
    locked: true,
    run(me) {
      const { machine } = me;
      if (!machine.orphaned || !machine.keeps("recovery after a death")) return startOperation(me);
      return machine.keeps("mark is gone after recovery") ? "recoverActive" : "clearOrphan";
    },
  },
  unlock: {
    says: "unlocks",
    locked: true,
    run(me) {
      const { machine } = me;
      machine.store(me, machine.lockWord, 0, machine.keeps("unlock is fenced"));
      return machine.keeps("notify after unlock") ? "lookForWaiters" : unlocked(me);
    },
  },
  lookForWaiters: {
    says: "asks if anybody waits for the lock",
    run: (me) => (me.machine.lockWaiters !== 0 ? "notifyLock" : unlocked(me)),
  },
  notifyLock: {
    says: "notifies one of them",
    choices: 3,
    run: (me, choice) => (me.notifyOne(me.machine.lockWord, choice) ? unlocked(me) : undefined),
  },
};
