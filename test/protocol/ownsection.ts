/** A thread that commits inside a section of its own: the section is a snapshot all the same. */
import { checkOwnSection } from "./properties.js";
import type { Program } from "./thread.js";
import type { Next, Writer } from "./writer.js";

export type OwnLabel = "ownLookup" | "ownUnpin" | "ownWake" | "ownNotify";

export const OWN_STEPS: Program<OwnLabel, Writer, Next> = {
  ownLookup: {
    says: "looks up both slots in its own section",
    run(me) {
      checkOwnSection(me);
      return "ownUnpin";
    },
  },
  ownUnpin: {
    says: "takes its pin back",
    run(me) {
      me.machine.store(me, me.machine.pinWord(me.ownLine), 0);
      return "ownWake";
    },
  },
  ownWake: {
    says: "asks if a writer sleeps",
    run: (me) => (me.machine.waiting !== 0 ? "ownNotify" : "finished"),
  },
  ownNotify: {
    says: "notifies",
    run(me) {
      me.notifyAll(me.machine.pinWord(me.ownLine));
      return "finished";
    },
  },
};
