/**
 * A thread that knows for certain that another is dead, and clears up behind it. It never waits: what needs
 * waiting for, recovery, is left to the next writer.
 *
 *   each line of the dead:  owner: dead -> me (compare), pin = 0, notify, owner = 0
 *   its gate:               gateOwner: dead -> me (compare), open, notify, gateOwner = 0
 *   a hurry:                ended, whosever it is
 *   who sleeps at a gate:   woken, in case the dead was to do it
 *   its lock:               orphaned = 1, lock: dead -> 0 (compare)
 *   in any case:            notify one that waits for the lock, in case the dead was to do it
 *
 * Should the reaper die, then another finds it as the owner, and does the same for it.
 */
import { endSteps, type HurryLabel } from "./hurry.js";
import { GATE, type Machine } from "./machine.js";
import { DEAD, type Program, Thread } from "./thread.js";

type Label =
  | "idle"
  | "takeLine"
  | "clearPin"
  | "wake"
  | "notify"
  | "freeLine"
  | "takeGate"
  | "openGate"
  | "countGate"
  | "notifyGate"
  | "releaseGate"
  | "lookAtLock"
  | "markLock"
  | "freeLock"
  | "notifyLock"
  | HurryLabel;

const TARGET = 0;
const LINE = 1;
const DONE = 2;
const VARIABLES = 3;

export class Reaper extends Thread {
  readonly kind = "reaper";

  /** There is a gate, or may be a hurry; else these steps would only make more states. */
  readonly wakes: boolean;

  constructor(machine: Machine, crew: readonly Thread[], name: string, base: number, wakes: boolean) {
    super(machine, crew, name, base, VARIABLES, STEPS);
    this.wakes = wakes;
  }

  start(): void {
    this.goTo("idle");
  }

  /** Index + 1 of the thread it clears up behind. */
  get target(): number {
    return this.variable(TARGET);
  }
  set target(value: number) {
    this.setVariable(TARGET, value);
  }

  get line(): number {
    return this.variable(LINE);
  }
  set line(value: number) {
    this.setVariable(LINE, value);
  }

  /** Threads that it is done with, as a set. */
  get done(): number {
    return this.variable(DONE);
  }
  set done(value: number) {
    this.setVariable(DONE, value);
  }

  /** It has cleared up behind all the dead there are. */
  get isIdle(): boolean {
    return (
      this.at("idle") && this.crew.every((thread) => thread.place !== DEAD || this.isDoneWith(thread.index))
    );
  }

  isDoneWith(index: number): boolean {
    return (this.done & (1 << index)) !== 0;
  }
}

function isDead(me: Thread): boolean {
  return me.place === DEAD && !me.hasStore;
}

function beginLine(me: Reaper, line: number): Label {
  me.line = line;
  return me.machine.keeps("reap unpins before release") ? "clearPin" : "freeLine";
}

function afterPin(me: Reaper): Label {
  return me.machine.keeps("reap unpins before release") ? "freeLine" : nextLine(me);
}

function nextLine(me: Reaper): Label {
  me.line = 0;
  return "takeLine";
}

/** Readers have nothing but lines, and maybe a hurry to end. */
function afterLines(me: Reaper): Label {
  return me.crew[me.target - 1]!.kind === "reader" ? beforeLock(me) : "takeGate";
}

function beforeLock(me: Reaper): Label {
  const ends = me.wakes && me.machine.keeps("reap ends a hurry");
  return ends ? "endWait" : atLock(me);
}

function atLock(me: Reaper): Label {
  return me.crew[me.target - 1]!.kind === "reader" ? finish(me) : "lookAtLock";
}

function finish(me: Reaper): Label {
  me.done |= 1 << (me.target - 1);
  me.target = me.line = 0;
  return "idle";
}

const STEPS: Program<Label, Reaper> = {
  idle: {
    says: "learns of a death",
    choices: 8,
    run(me, index) {
      const thread = me.crew[index];
      if (thread === undefined || thread === me || me.isDoneWith(index)) return undefined;
      const isWrong =
        !me.machine.keeps("only the dead are reaped") && thread.kind === "reader" && thread.alive;
      if (!isDead(thread) && !isWrong) return undefined;
      me.target = index + 1;
      return "takeLine";
    },
  },
  takeLine: {
    says: "looks for a line of the dead and makes it its own",
    run(me) {
      const { machine, target } = me;
      for (let line = 0; line < machine.lines; line++) {
        if (machine.owner(line) !== target) continue;
        if (machine.keeps("reap compares")) machine.exchange(me, machine.ownerWord(line), target, me.token);
        return beginLine(me, line);
      }
      return afterLines(me);
    },
  },
  clearPin: {
    says: "takes the pin back",
    run(me) {
      me.machine.store(me, me.machine.pinWord(me.line), 0);
      return me.machine.keeps("reap notifies the writer") ? "wake" : afterPin(me);
    },
  },
  wake: {
    says: "asks if a writer sleeps",
    run: (me) => (me.machine.waiting !== 0 ? "notify" : afterPin(me)),
  },
  notify: {
    says: "notifies",
    run(me) {
      me.notifyAll(me.machine.pinWord(me.line));
      return afterPin(me);
    },
  },
  freeLine: {
    says: "gives the line back",
    run(me) {
      me.machine.store(me, me.machine.ownerWord(me.line), 0);
      return me.machine.keeps("reap unpins before release") ? nextLine(me) : "clearPin";
    },
  },
  takeGate: {
    says: "looks if the gate is the dead's and makes it its own",
    run(me) {
      const { machine, target } = me;
      if (machine.gateOwner !== target) return beforeLock(me);
      if (machine.keeps("reap compares")) machine.exchange(me, machine.gateOwnerWord, target, me.token);
      return machine.keeps("reap opens the gate") ? "openGate" : "releaseGate";
    },
  },
  openGate: {
    says: "opens the gate",
    run(me) {
      const { machine } = me;
      machine.held = false;
      machine.update(me, machine.rootWord, machine.root & ~GATE);
      return machine.keeps("openings are counted") ? "countGate" : "notifyGate";
    },
  },
  countGate: {
    says: "counts the opening",
    run(me) {
      me.countOpening();
      return "notifyGate";
    },
  },
  notifyGate: {
    says: "notifies those that wait at the gate",
    run(me) {
      me.notifyAll(me.machine.openingsWord);
      return "releaseGate";
    },
  },
  releaseGate: {
    says: "gives the gate back",
    run(me) {
      me.machine.store(me, me.machine.gateOwnerWord, 0);
      return beforeLock(me);
    },
  },
  lookAtLock: {
    says: "looks if the dead has the lock",
    run(me) {
      const { machine } = me;
      if (machine.lock === me.target)
        return machine.keeps("mark before the lock is free") ? "markLock" : "freeLock";
      return machine.keeps("reap notifies the lock") ? "notifyLock" : finish(me);
    },
  },
  markLock: {
    says: "marks that the holder of the lock died",
    run(me) {
      const { machine } = me;
      machine.store(me, machine.orphanedWord, 1);
      return machine.keeps("mark before the lock is free") ? "freeLock" : "notifyLock";
    },
  },
  freeLock: {
    says: "frees the lock, if it still is the dead's",
    run(me) {
      const { machine } = me;
      machine.exchange(me, machine.lockWord, me.target, 0);
      return machine.keeps("mark before the lock is free") ? "notifyLock" : "markLock";
    },
  },
  notifyLock: {
    says: "notifies one that waits for the lock",
    choices: 3,
    run: (me, choice) => (me.notifyOne(me.machine.lockWord, choice) ? finish(me) : undefined),
  },
  ...endSteps<Reaper, Label>(atLock, {}, true),
};
