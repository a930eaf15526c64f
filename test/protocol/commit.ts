/** The commit itself: applyList, publish; and the gate that keeps readers out while it is published. */
import { goOn, phaseDone, refuse } from "./grace.js";
import { SLEEPERS } from "./hurry.js";
import { GATE, HALF_BUILT, ROOT_BITS, SLOTS, slotOf } from "./machine.js";
import { PHASE } from "./phase.js";
import { checkIds } from "./properties.js";
import type { Program } from "./thread.js";
import type { Next, Writer } from "./writer.js";

export type CommitLabel =
  | "begin"
  | "takeChunk"
  | "startBuild"
  | "endBuild"
  | "retire"
  | "setActive"
  | "publish"
  | "publishBlindly"
  | "setIds"
  | "claimGate"
  | "closeGate"
  | "openGate"
  | "countGate"
  | "notifyGate"
  | "releaseGate";

/** The new layout is published, and the notebook right. */
function settled(me: Writer): Next {
  me.built = me.chunk = 0;
  me.phase = PHASE.grace;
  if (me.holdsGate) return "openGate";
  return me.machine.keeps("recycle before unlock") ? goOn(me) : "unlock";
}

function afterBuild(me: Writer): Next {
  const { machine } = me;
  if (!machine.keeps("build before publish")) return "setIds";
  if (machine.keeps("look after publish")) return "retire";
  me.phase = PHASE.early;
  return "look";
}

/** The gate is open, and nobody's. */
function afterGate(me: Writer): Next {
  return me.operation === "resume" || me.phase === PHASE.refused ? "unlock" : goOn(me);
}

export const COMMIT_STEPS: Program<CommitLabel, Writer, Next> = {
  begin: {
    says: "looks for a spare root and a free chunk",
    locked: true,
    quiet: true,
    run(me) {
      const { machine } = me;
      checkIds(machine);
      const spare = machine.next(machine.active);
      const isInUse = spare === machine.oldest && machine.keeps("spare root is not in use");
      if (isInUse || machine.free === 0) {
        if (me.phase === PHASE.spare || machine.oldest === machine.active) return refuse(me);
        me.phase = PHASE.spare;
        return goOn(me);
      }
      me.built = spare;
      me.promise = machine.layout(machine.active) + 1;
      return "takeChunk";
    },
  },
  takeChunk: {
    says: "takes a chunk from the free list",
    locked: true,
    quiet: true,
    run(me) {
      const { machine } = me;
      me.chunk = 32 - Math.clz32(machine.free & -machine.free);
      machine.free &= machine.free - 1;
      return "startBuild";
    },
  },
  startBuild: {
    says: "starts to write root and chunk",
    locked: true,
    run(me) {
      const { machine, built } = me;
      for (let slot = 0; slot < SLOTS; slot++)
        machine.setChunk(built, slot, machine.chunk(machine.active, slot));
      machine.setChunk(built, slotOf(me.promise), me.chunk);
      machine.setLayout(built, HALF_BUILT);
      machine.setContent(me.chunk, HALF_BUILT);
      return machine.keeps("build before publish") ? "endBuild" : "retire";
    },
  },
  endBuild: {
    says: "has written root and chunk",
    locked: true,
    run(me) {
      me.machine.setLayout(me.built, me.promise);
      me.machine.setContent(me.chunk, me.promise);
      return afterBuild(me);
    },
  },
  claimGate: {
    says: "tries to take the gate",
    locked: true,
    run(me) {
      const { machine } = me;
      const owner = machine.exchange(me, machine.gateOwnerWord, 0, me.token);
      const pauses = me.operation === "pause";
      me.holdsGate = owner === 0 && !pauses;
      if (owner === 0) return "closeGate";
      // In a pause of its own the vCPUs are held already. EBUSY in another's: should that one die, its gate
      // opens.
      if (pauses || (owner !== me.token && machine.keeps("a barrier has its own gate"))) return refuse(me);
      me.phase = PHASE.reclaim;
      return goOn(me);
    },
  },
  closeGate: {
    says: "closes the gate",
    locked: true,
    run(me) {
      const { machine } = me;
      me.phase = PHASE.gate;
      if (machine.keeps("gate is fenced")) machine.update(me, machine.rootWord, machine.root | GATE);
      else machine.store(me, machine.rootWord, machine.root | GATE, false);
      return machine.keeps("gate waits for all readers") ? "look" : phaseDone(me);
    },
  },
  retire: {
    says: "retires the chunk that the new layout does not share",
    locked: true,
    quiet: true,
    run(me) {
      const { machine } = me;
      machine.setRetired(machine.active, machine.chunk(machine.active, slotOf(me.promise)));
      return "setActive";
    },
  },
  setActive: {
    says: "notes the new root as the active one",
    locked: true,
    quiet: true,
    run(me) {
      me.machine.active = me.built;
      return "publish";
    },
  },
  publish: {
    says: "publishes the new root",
    locked: true,
    run(me) {
      const { machine } = me;
      const bits = machine.keeps("publication keeps the hurry") ? ROOT_BITS : GATE;
      const root = me.built | (machine.root & bits);
      machine.published = Math.max(machine.published, me.promise);
      if (!machine.keeps("publication compares")) {
        me.expected = root;
        return "publishBlindly";
      }
      if (machine.keeps("root is fenced")) machine.update(me, machine.rootWord, root);
      else machine.store(me, machine.rootWord, root, false);
      return machine.keeps("build before publish") ? "setIds" : "endBuild";
    },
  },
  publishBlindly: {
    says: "stores the new root with the gate as it was",
    locked: true,
    run(me) {
      me.machine.update(me, me.machine.rootWord, me.expected);
      me.expected = 0;
      return "setIds";
    },
  },
  setIds: {
    says: "brings the id table up to date",
    locked: true,
    quiet: true,
    run(me) {
      me.machine.ids = me.promise;
      return settled(me);
    },
  },
  openGate: {
    says: "opens the gate",
    locked: true,
    run(me) {
      const { machine } = me;
      machine.held = false;
      machine.update(me, machine.rootWord, machine.root & ~GATE);
      return machine.keeps("openings are counted") ? "countGate" : "notifyGate";
    },
  },
  countGate: {
    says: "counts the opening",
    locked: true,
    run(me) {
      me.countOpening();
      return me.machine.keeps("notify after the gate opens") ? "notifyGate" : "releaseGate";
    },
  },
  // The end of a pause wakes all; a barrier one, as on one processor.
  notifyGate: {
    says: "notifies those that wait at the gate",
    locked: true,
    choices: SLEEPERS,
    run(me, choice) {
      const { openingsWord } = me.machine;
      const inTurn = me.operation === "commit, barrier: true";
      if (inTurn) return me.notifyOne(openingsWord, choice) ? "releaseGate" : undefined;
      if (choice > 0) return undefined;
      me.notifyAll(openingsWord);
      return "releaseGate";
    },
  },
  releaseGate: {
    says: "gives the gate back",
    locked: true,
    run(me) {
      me.machine.store(me, me.machine.gateOwnerWord, 0);
      me.holdsGate = false;
      return afterGate(me);
    },
  },
};
