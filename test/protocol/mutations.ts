/**
 * The protocol with one rule left out, one mutation for each rule: which word of assembly/atomic.ts it
 * weakens, in which small configuration that shows, and as what.
 */
import type { Configuration } from "./configuration.js";
import type { Property } from "./properties.js";
import type { Rule } from "./rules.js";

export interface Mutation {
  readonly name: string;
  /** The rule that it leaves out. */
  readonly rule: Rule;
  /** The word of assembly/atomic.ts that is weakened by it. */
  readonly word: string;
  readonly configuration: Configuration;
  readonly finds: Property;
  /** Found sooner, but no harm by themselves. */
  readonly ignored?: readonly Property[];
}

/** One reader with one section, one writer with one commit, nobody dies; and what is different. */
function small(difference: Partial<Configuration> = {}): Configuration {
  return {
    name: "small",
    readers: 1,
    sections: 1,
    writers: [["commit"]],
    roots: 3,
    chunks: 4,
    kills: 0,
    ...difference,
  };
}

const TWO_READERS = small({ readers: 2 });
const TWO_WRITERS = small({ writers: [["commit"], ["commit"]] });
const NO_WAIT = small({
  writers: [["commit, wait: false", "commit, wait: false", "commit, wait: false"]],
  chunks: 5,
});
const BARRIER = small({ writers: [["commit, barrier: true"]], barrier: true });
const HURRY = small({ readers: 2, hurry: true });
const UNATTENDED = small({
  readers: 2,
  writers: [["commit, wait: false", "synchronize, no sleep"]],
  hurry: true,
});
const DEATH = small({ writers: [["commit"], ["commit"]], kills: 1, mortal: ["writer"] });
const READER_DEATH = small({ kills: 1, mortal: ["reader"] });
const ONE_LINE = small({ readers: 2, lines: 1 });
const OWN_SECTION = small({ ownSection: true });
const BUFFERS = small({ buffers: true });

export const MUTATIONS: readonly Mutation[] = [
  // ---- readers ----
  {
    name: "pin after look",
    rule: "pin before the second look",
    word: "pinRoot",
    configuration: small(),
    finds: "recycled",
  },
  {
    name: "no second look at the root",
    rule: "second look at the root",
    word: "observeRoot",
    configuration: small(),
    finds: "recycled",
  },
  {
    name: "unpin early",
    rule: "unpin after the last lookup",
    word: "unpinRoot",
    configuration: small(),
    finds: "graceless",
  },
  {
    name: "no notify after unpin",
    rule: "notify after unpin",
    word: "wakeWriter",
    configuration: small(),
    finds: "lostWakeUp",
  },
  {
    name: "no notify after another pin at enter",
    rule: "notify after another pin at enter",
    word: "wakeWriter",
    configuration: small(),
    finds: "asleep",
  },
  {
    name: "no notify after another pin at refresh",
    rule: "notify after another pin at refresh",
    word: "wakeWriter",
    configuration: small({ refresh: true }),
    finds: "asleep",
  },
  {
    name: "claim without compare",
    rule: "claim compares",
    word: "claimOwner",
    configuration: ONE_LINE,
    finds: "recycled",
  },
  {
    name: "release before unpin",
    rule: "unpin before release",
    word: "releaseOwner",
    configuration: ONE_LINE,
    finds: "recycled",
  },

  // ---- writers ----
  {
    name: "no lock",
    rule: "one writer",
    word: "tryLockWriter",
    configuration: TWO_WRITERS,
    finds: "recycled",
    ignored: ["twoWriters", "wrongIds", "freeAndReachable", "halfBuilt", "leaked"],
  },
  {
    name: "publish before build",
    rule: "build before publish",
    word: "publishRoot",
    configuration: small(),
    finds: "halfBuilt",
  },
  {
    name: "no grace period",
    rule: "grace period",
    word: "observePin",
    configuration: small(),
    finds: "recycled",
  },
  {
    name: "grace period of one reader",
    rule: "look at all readers",
    word: "observePin",
    configuration: TWO_READERS,
    finds: "recycled",
  },
  {
    name: "grace period before publication",
    rule: "look after publish",
    word: "observePin",
    configuration: small(),
    finds: "recycled",
  },
  {
    name: "recycle newest first",
    rule: "oldest first",
    word: "observePin",
    configuration: NO_WAIT,
    finds: "recycled",
  },
  {
    name: "older roots ignored",
    rule: "older roots count",
    word: "observePin",
    configuration: NO_WAIT,
    finds: "recycled",
  },
  {
    name: "spare root in use",
    rule: "spare root is not in use",
    word: "observePin",
    configuration: NO_WAIT,
    finds: "halfBuilt",
  },
  {
    name: "return before the grace period",
    rule: "return after the grace period",
    word: "sleepOnPin",
    configuration: small(),
    finds: "graceless",
  },
  {
    name: "recycle after a timeout",
    rule: "nothing recycled after a timeout",
    word: "observePin",
    configuration: small({ timeouts: true }),
    finds: "recycled",
  },
  {
    name: "own section ends the wait",
    rule: "own section ends no wait",
    word: "observeOwner",
    configuration: OWN_SECTION,
    finds: "graceless",
  },
  {
    name: "asleep on the lock in a section",
    rule: "no sleep for the lock in a section",
    word: "sleepOnLock",
    configuration: small({ ownSection: true, writers: [["commit"], ["commit"]] }),
    finds: "lostWakeUp",
  },
  {
    name: "lost wake-up",
    rule: "announce the wait",
    word: "announceWait",
    configuration: small(),
    finds: "asleep",
  },
  {
    name: "unlock before recycle",
    rule: "recycle before unlock",
    word: "unlockWriter",
    configuration: TWO_WRITERS,
    finds: "recycled",
    ignored: ["twoWriters", "wrongIds", "freeAndReachable"],
  },
  {
    name: "wait for the lock not announced",
    rule: "announce the wait for the lock",
    word: "sleepOnLock",
    configuration: TWO_WRITERS,
    finds: "lostWakeUp",
  },
  {
    name: "no notify after unlock",
    rule: "notify after unlock",
    word: "unlockWriter",
    configuration: TWO_WRITERS,
    finds: "lostWakeUp",
  },

  // ---- gate ----
  {
    name: "publication without compare",
    rule: "publication compares",
    word: "publishRoot",
    configuration: small({ writers: [["pause", "resume"], ["commit"]], kills: 1, mortal: ["writer"] }),
    finds: "lostWakeUp",
  },
  {
    name: "barrier behind another's gate",
    rule: "a barrier has its own gate",
    word: "claimGate",
    configuration: small({
      readers: 2,
      writers: [["pause", "resume"], ["commit, barrier: true"]],
      barrier: true,
      kills: 1,
      mortal: ["writer"],
    }),
    finds: "twoLayouts",
  },
  {
    name: "gate ignored",
    rule: "readers heed the gate",
    word: "closeGate",
    configuration: BARRIER,
    finds: "notHeld",
  },
  {
    name: "pinned at the gate",
    rule: "readers unpin at the gate",
    word: "unpinRoot",
    configuration: BARRIER,
    finds: "lostWakeUp",
  },
  {
    name: "no notify at the gate",
    rule: "notify after unpin at the gate",
    word: "wakeWriter",
    configuration: BARRIER,
    finds: "lostWakeUp",
  },
  {
    name: "gate without wait",
    rule: "gate waits for all readers",
    word: "observePin",
    configuration: BARRIER,
    finds: "notHeld",
  },
  {
    name: "gate opened before publication",
    rule: "gate stays closed until the publication",
    word: "openGate",
    configuration: { ...BARRIER, readers: 2 },
    finds: "twoLayouts",
  },
  {
    name: "gate opened without notify",
    rule: "notify after the gate opens",
    word: "openGate",
    configuration: BARRIER,
    finds: "lostWakeUp",
  },

  {
    name: "opening not counted",
    rule: "openings are counted",
    word: "countOpening",
    configuration: BARRIER,
    finds: "lostWakeUp",
  },
  {
    name: "openings counted late",
    rule: "openings before the look",
    word: "observeOpenings",
    configuration: HURRY,
    finds: "lostWakeUp",
  },

  // ---- hurry ----
  {
    name: "hurry lost by a publication",
    rule: "publication keeps the hurry",
    word: "publishRoot",
    configuration: small({
      readers: 2,
      writers: [["commit, wait: false", "synchronize, no sleep", "commit, wait: false"]],
      hurry: true,
    }),
    finds: "lostWakeUp",
  },
  {
    name: "held again and again",
    rule: "a section is held once",
    word: "sleepAtGate",
    configuration: small({ writers: [["commit"], ["commit"]], readers: 2, hurry: true }),
    finds: "heldTwice",
  },
  {
    name: "hurry without end",
    rule: "a hurry ends with the wait",
    word: "endHurry",
    configuration: HURRY,
    finds: "lostWakeUp",
  },
  {
    name: "hurry that nobody ends",
    rule: "the last reader ends a hurry",
    word: "observeWait",
    configuration: UNATTENDED,
    finds: "lostWakeUp",
  },
  {
    name: "hurry given up and left to nobody",
    rule: "a hurry in vain is left to the last reader",
    word: "announceWait",
    configuration: small({ readers: 2, hurry: true, timeouts: true }),
    finds: "lostWakeUp",
  },
  {
    name: "hurry announced unseen",
    rule: "look behind the announcement of a hurry",
    word: "announceWait",
    configuration: UNATTENDED,
    finds: "lostWakeUp",
  },
  {
    name: "hurry ended without notify",
    rule: "notify after a hurry",
    word: "endHurry",
    configuration: HURRY,
    finds: "lostWakeUp",
  },
  {
    name: "wake-up not passed on",
    rule: "a wake-up is passed on",
    word: "sleepAtGate",
    configuration: small({ readers: 3, hurry: true }),
    finds: "lostWakeUp",
  },

  // ---- death ----
  {
    name: "recovery skipped",
    rule: "recovery after a death",
    word: "orphanLock",
    configuration: DEATH,
    finds: "freeAndReachable",
  },
  {
    name: "orphan marked after the lock is free",
    rule: "mark before the lock is free",
    word: "orphanLock",
    configuration: DEATH,
    finds: "freeAndReachable",
  },
  {
    name: "recovery marked done first",
    rule: "mark is gone after recovery",
    word: "clearOrphan",
    configuration: { ...DEATH, timeouts: true },
    finds: "wrongIds",
  },
  {
    name: "recovery from the notebook",
    rule: "recovery starts from the root",
    word: "observeRoot",
    configuration: DEATH,
    finds: "freeAndReachable",
  },
  {
    name: "recovery without wait",
    rule: "recovery waits for pins",
    word: "observePin",
    configuration: DEATH,
    finds: "recycled",
  },
  {
    name: "recovery asleep on a new pin",
    rule: "recovery sleeps on the pin it saw",
    word: "sleepOnPin",
    configuration: DEATH,
    finds: "lostWakeUp",
  },
  {
    name: "recovery without free list",
    rule: "recovery rebuilds the free list",
    word: "observeOrphan",
    configuration: DEATH,
    finds: "leaked",
  },
  {
    name: "recovery without id table",
    rule: "recovery rebuilds the id table",
    word: "observeOrphan",
    configuration: DEATH,
    finds: "wrongIds",
  },
  {
    name: "recovery given up for good",
    rule: "recovery given up leaves the mark",
    word: "clearOrphan",
    configuration: { ...DEATH, timeouts: true },
    finds: "wrongIds",
  },
  {
    name: "live reader reaped",
    rule: "only the dead are reaped",
    word: "observeOwner",
    configuration: small(),
    finds: "recycled",
  },
  {
    name: "reap without compare",
    rule: "reap compares",
    word: "inheritOwner",
    configuration: { ...ONE_LINE, reapers: 2, kills: 1, mortal: ["reader"] },
    finds: "recycled",
  },
  {
    name: "reap releases before unpin",
    rule: "reap unpins before release",
    word: "releaseOwner",
    configuration: { ...ONE_LINE, kills: 1, mortal: ["reader"] },
    finds: "recycled",
  },
  {
    name: "reap without notify",
    rule: "reap notifies the writer",
    word: "wakeWriter",
    configuration: READER_DEATH,
    finds: "lostWakeUp",
  },
  {
    name: "reap without notify of the lock",
    rule: "reap notifies the lock",
    word: "unlockWriter",
    configuration: DEATH,
    finds: "lostWakeUp",
  },
  {
    name: "gate of the dead left closed",
    rule: "reap opens the gate",
    word: "observeGate",
    configuration: { ...BARRIER, kills: 1, mortal: ["writer"] },
    finds: "lostWakeUp",
  },
  {
    name: "hurry of the dead left",
    rule: "reap ends a hurry",
    word: "endHurry",
    configuration: { ...HURRY, kills: 1, mortal: ["writer"] },
    finds: "lostWakeUp",
  },
  {
    name: "hurry that the dead has ended slept through",
    rule: "reap wakes at the gates",
    word: "countOpening",
    configuration: { ...HURRY, kills: 1, mortal: ["writer"] },
    finds: "lostWakeUp",
  },

  // ---- store buffers ----
  {
    name: "pin without fence",
    rule: "pin is fenced",
    word: "pinRoot",
    configuration: BUFFERS,
    finds: "recycled",
  },
  {
    name: "publication without fence",
    rule: "root is fenced",
    word: "publishRoot",
    configuration: BUFFERS,
    finds: "recycled",
    ignored: ["freeAndReachable"],
  },
  {
    name: "unpin without fence",
    rule: "unpin is fenced",
    word: "unpinRoot",
    configuration: BUFFERS,
    finds: "lostWakeUp",
  },
  {
    name: "unlock without fence",
    rule: "unlock is fenced",
    word: "unlockWriter",
    configuration: { ...TWO_WRITERS, buffers: true },
    finds: "lostWakeUp",
  },
  {
    name: "gate without fence",
    rule: "gate is fenced",
    word: "closeGate",
    configuration: { ...BARRIER, buffers: true },
    finds: "notHeld",
  },
];
