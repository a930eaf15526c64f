/**
 * Looking at the pins: to recycle what no reader can reach any more, to wait until that is so, to find out
 * after a death who is where, and to see that all are out behind a closed gate. The lines are looked at in
 * any order.
 */
import { endSteps, type HurryLabel } from "./hurry.js";
import { GATE, HURRY, RECYCLED } from "./machine.js";
import { PHASE } from "./phase.js";
import type { Program } from "./thread.js";
import type { Next, Writer } from "./writer.js";

export type GraceLabel =
  | "look"
  | "announceWait"
  | "sleepOnPin"
  | "asleepOnPin"
  | "awakeFromPin"
  | "mayHurryEarly"
  | "beginHurry"
  | "announceHurry"
  | HurryLabel
  | "recycle"
  | "putFree"
  | "forgetOldest";

/** In the set of lines looked at: the writer's own section holds the oldest root. */
const OWN_SECTION = 0x80;

/** Locked, and the notebook is right. */
export function startOperation(me: Writer): Next {
  const { machine, operation } = me;
  switch (operation) {
    case "synchronize":
    case "synchronize, no sleep":
      me.promise = machine.layout(machine.active);
      me.phase = PHASE.grace;
      return goOn(me);
    case "resume":
      return machine.gateOwner === me.token ? "openGate" : "unlock";
    case "pause":
    case "commit, barrier: true":
      return "claimGate";
    case "commit":
      me.phase = PHASE.reclaim;
      return me.hurries ? "mayHurryEarly" : goOn(me);
    default:
      me.phase = PHASE.reclaim;
      return goOn(me);
  }
}

/** Go on with what the phase is for: look at the pins, unless no replaced layout is left. */
export function goOn(me: Writer): Next {
  const { machine } = me;
  me.looked = 0;
  if (machine.oldest === machine.active) return phaseDone(me);
  const looked = me.phase === PHASE.grace && !machine.keeps("look after publish");
  return looked || !machine.keeps("grace period") ? "recycle" : "look";
}

/** Nothing is left to wait for, or nothing waits. */
export function phaseDone(me: Writer): Next {
  const { machine } = me;
  me.looked = 0;
  switch (me.phase) {
    case PHASE.reclaim:
      return "begin";
    case PHASE.spare:
      return me.mayEndHurry ? "endWait" : "begin";
    case PHASE.recovery:
      return "recoverFree";
    case PHASE.gate:
      machine.held = true;
      if (me.operation === "pause") return "unlock";
      me.phase = PHASE.reclaim;
      return machine.keeps("gate stays closed until the publication") ? goOn(me) : "openGate";
    case PHASE.early:
      return "retire";
    default:
      if (me.mayEndHurry) return "endWait";
      return machine.keeps("recycle before unlock") ? "unlock" : me.returnToCaller();
  }
}

/** The wait is over, and a hurry ended, if there was one. */
function afterHurry(me: Writer): Next {
  me.waited = me.leaves = false;
  if (me.phase === PHASE.spare) return "begin";
  return me.holdsGate ? "openGate" : "unlock";
}

/** The operation fails, and leaves nothing behind. */
export function refuse(me: Writer): Next {
  me.promise = 0;
  me.phase = PHASE.refused;
  if (me.mayEndHurry) return "endWait";
  return me.holdsGate ? "openGate" : "unlock";
}

/** Time is up: undo what can be undone, keep what cannot. */
function giveUp(me: Writer): Next {
  const { machine } = me;
  me.looked = me.sleepsAt = me.expected = 0;
  switch (me.phase) {
    case PHASE.recovery:
      return machine.keeps("recovery given up leaves the mark") ? "unlock" : "clearOrphan";
    case PHASE.gate:
      me.phase = PHASE.refused;
      return "openGate";
    default:
      return leave(me);
  }
}

/** Time is up for the readers of a replaced layout: a hurry is the last reader's to end, the writer looks once more. */
function leave(me: Writer): Next {
  const { machine } = me;
  const held = (machine.root & HURRY) !== 0 && machine.keeps("a hurry in vain is left to the last reader");
  if (held && !me.leaves) {
    me.leaves = true;
    return "announceHurry";
  }
  me.leaves = me.waited = false;
  if (me.phase === PHASE.spare) return refuse(me);
  me.promise = 0;
  return machine.keeps("nothing recycled after a timeout") ? "unlock" : "recycle";
}

/** The root whose chunk comes next. */
function turn(me: Writer): number {
  const { machine } = me;
  if (machine.keeps("oldest first")) return machine.oldest;
  let root = machine.previous(machine.active);
  while (root !== machine.oldest && machine.retired(root) === 0) root = machine.previous(root);
  return root;
}

/** Whether the phase has to wait for this pin of a line. */
function concerns(me: Writer, line: number, pin: number): boolean {
  const { machine } = me;
  switch (me.phase) {
    case PHASE.gate:
      return pin !== 0 && line < machine.vcpuLines;
    case PHASE.recovery:
    case PHASE.others:
      return pin !== 0 && pin !== machine.active;
    case PHASE.early:
      return pin === machine.active;
    default:
      return pin === (machine.keeps("older roots count") ? turn(me) : machine.previous(machine.active));
  }
}

/** Its own section cannot end while it waits. */
function meetOwnSection(me: Writer): Next {
  if (me.phase === PHASE.reclaim) return phaseDone(me);
  if (me.phase === PHASE.others) return lookFurther(me);
  if (me.phase !== PHASE.grace) return giveUp(me);
  if (!me.machine.keeps("own section ends no wait")) return phaseDone(me);
  me.looked |= OWN_SECTION;
  return lookFurther(me);
}

function meetReader(me: Writer, line: number, pin: number): Next {
  me.looked = 0;
  if (me.phase === PHASE.reclaim) return phaseDone(me);
  if (me.phase === PHASE.grace) {
    if (!me.waits || !me.machine.keeps("return after the grace period")) return phaseDone(me);
  }
  me.sleepsAt = line + 1;
  me.expected = pin;
  me.waited = me.phase !== PHASE.recovery && me.phase !== PHASE.gate;
  return "announceWait";
}

/** Whether the published layout may have its hurry; when is a matter of time, so at any time. */
function mayHurry(me: Writer): boolean {
  const { machine } = me;
  const isItsTime = me.waited && machine.hurried !== machine.layout(machine.active);
  return me.hurries && isItsTime && (machine.root & GATE) === 0;
}

function lookFurther(me: Writer): Next {
  const { machine } = me;
  const all = (1 << machine.lines) - 1;
  if ((me.looked & all) !== all && machine.keeps("look at all readers")) return "look";
  if (me.looked & OWN_SECTION) {
    me.looked = 0;
    me.phase = PHASE.others;
    return "look";
  }
  me.looked = 0;
  return me.phase <= PHASE.grace ? "recycle" : phaseDone(me);
}

export const GRACE_STEPS: Program<GraceLabel, Writer, Next> = {
  look: {
    says: "looks at a pin",
    locked: true,
    choices: 3,
    run(me, line) {
      const { machine } = me;
      if (line >= machine.lines || me.looked & (1 << line)) return undefined;
      me.looked |= 1 << line;
      const pin = machine.pin(line);
      if (!concerns(me, line, pin)) return lookFurther(me);
      return line === me.ownLine ? meetOwnSection(me) : meetReader(me, line, pin);
    },
  },
  announceWait: {
    says: ["announces that a writer sleeps", "has waited long enough and gives up", "is in a hurry"],
    locked: true,
    choices: 3,
    run(me, choice) {
      const { machine } = me;
      if (choice === 1) return me.mayGiveUp ? giveUp(me) : undefined;
      if (me.leaves) return undefined;
      if (choice === 2) return mayHurry(me) ? "beginHurry" : undefined;
      if (!me.sleeps) return undefined;
      const looksAgain = me.phase === PHASE.recovery && !machine.keeps("recovery sleeps on the pin it saw");
      if (looksAgain) me.expected = machine.pin(me.sleepsAt - 1);
      if (machine.keeps("announce the wait")) machine.store(me, machine.waitingWord, 1);
      return "sleepOnPin";
    },
  },
  sleepOnPin: {
    says: "goes to sleep on the pin, unless it has changed",
    locked: true,
    run(me) {
      const word = me.machine.pinWord(me.sleepsAt - 1);
      return me.machine.stillHolds(me, word, me.expected) ? "asleepOnPin" : "awakeFromPin";
    },
  },
  asleepOnPin: {
    says: "has slept long enough",
    locked: true,
    asleep: true,
    run: () => "awakeFromPin",
  },
  awakeFromPin: {
    says: "announces that no writer sleeps",
    locked: true,
    run(me) {
      const { machine } = me;
      me.sleepsAt = me.expected = 0;
      if (machine.keeps("announce the wait")) machine.store(me, machine.waitingWord, 0);
      return "look";
    },
  },
  mayHurryEarly: {
    says: ["is in no hurry", "asks the vCPUs to wait before it builds"],
    locked: true,
    choices: 2,
    run(me, choice) {
      const { machine } = me;
      if (choice === 0) return goOn(me);
      if (machine.root & GATE) return undefined;
      me.waited = true;
      machine.hurried = machine.layout(machine.active) + 1;
      machine.update(me, machine.rootWord, machine.root | HURRY);
      return goOn(me);
    },
  },
  beginHurry: {
    says: "asks the vCPUs to wait before their next section",
    locked: true,
    run(me) {
      const { machine } = me;
      me.sleepsAt = me.expected = 0;
      machine.hurried = machine.layout(machine.active);
      machine.update(me, machine.rootWord, machine.root | HURRY);
      return me.sleeps ? "look" : "announceHurry";
    },
  },
  announceHurry: {
    says: "announces that the last reader ends the hurry",
    locked: true,
    run(me) {
      const { machine } = me;
      machine.store(me, machine.waitingWord, 2);
      if (machine.keeps("look behind the announcement of a hurry")) return "look";
      me.promise = 0;
      return "unlock";
    },
  },
  ...endSteps<Writer, Next>(afterHurry, { locked: true }),
  recycle: {
    says: "recycles the chunk that only the oldest root kept alive",
    locked: true,
    run(me) {
      const { machine } = me;
      const chunk = machine.retired(turn(me));
      if (chunk !== 0) machine.setContent(chunk, RECYCLED);
      return chunk !== 0 ? "putFree" : "forgetOldest";
    },
  },
  putFree: {
    says: "puts the chunk on the free list",
    locked: true,
    quiet: true,
    run(me) {
      const { machine } = me;
      machine.free |= 1 << (machine.retired(turn(me)) - 1);
      return "forgetOldest";
    },
  },
  forgetOldest: {
    says: "notes that the next root is the oldest",
    locked: true,
    quiet: true,
    run(me) {
      const { machine } = me;
      const root = turn(me);
      machine.setRetired(root, 0);
      if (machine.keeps("oldest first")) machine.oldest = machine.next(root);
      else if (root === machine.oldest) machine.oldest = machine.active;
      return goOn(me);
    },
  },
};
