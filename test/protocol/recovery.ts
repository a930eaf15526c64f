/**
 * After a writer's death: everything but the published root is derived from it anew, as in
 * assembly/recover.ts. The wait for the readers of older layouts is in grace.ts.
 */
import { startOperation } from "./grace.js";
import { RECYCLED, ROOT_BITS } from "./machine.js";
import { PHASE } from "./phase.js";
import type { Program } from "./thread.js";
import type { Next, Writer } from "./writer.js";

export type RecoveryLabel = "recoverActive" | "recoverFree" | "recoverOldest" | "recoverIds" | "clearOrphan";

export const RECOVERY_STEPS: Program<RecoveryLabel, Writer, Next> = {
  recoverActive: {
    says: "takes the published root for the active one",
    locked: true,
    quiet: true,
    run(me) {
      const { machine } = me;
      if (machine.keeps("recovery starts from the root")) machine.active = machine.root & ~ROOT_BITS;
      me.phase = PHASE.recovery;
      return machine.keeps("recovery waits for pins") ? "look" : "recoverFree";
    },
  },
  recoverFree: {
    says: "makes the free list of what the published root does not reach",
    locked: true,
    run(me) {
      const { machine } = me;
      for (let root = 1; root <= machine.roots; root++) machine.setRetired(root, 0);
      if (!machine.keeps("recovery rebuilds the free list")) return "recoverOldest";
      machine.free = machine.allChunks & ~machine.reachable(machine.active);
      for (let chunk = 1; chunk <= machine.chunks; chunk++) {
        if (machine.free & (1 << (chunk - 1))) machine.setContent(chunk, RECYCLED);
      }
      return "recoverOldest";
    },
  },
  recoverOldest: {
    says: "forgets the replaced roots",
    locked: true,
    quiet: true,
    run(me) {
      me.machine.oldest = me.machine.active;
      return "recoverIds";
    },
  },
  recoverIds: {
    says: "makes the id table of the published root",
    locked: true,
    quiet: true,
    run(me) {
      const { machine } = me;
      if (machine.keeps("recovery rebuilds the id table")) machine.ids = machine.layout(machine.active);
      return machine.keeps("mark is gone after recovery") ? "clearOrphan" : startOperation(me);
    },
  },
  clearOrphan: {
    says: "takes the mark away that the last holder died",
    locked: true,
    run(me) {
      const { machine } = me;
      machine.store(me, machine.orphanedWord, 0);
      if (!machine.keeps("mark is gone after recovery")) return "recoverActive";
      return machine.keeps("recovery given up leaves the mark") ? startOperation(me) : "unlock";
    },
  },
};
