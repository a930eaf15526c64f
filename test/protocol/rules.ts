/**
 * The rules that the protocol consists of. The engine keeps them all; a mutation is the protocol without one
 * of them, and the checker has to show what goes wrong then.
 */

export const RULES = [
  // Readers.
  "pin before the second look",
  "second look at the root",
  "unpin after the last lookup",
  "notify after unpin",
  "notify after another pin at enter",
  "notify after another pin at refresh",
  "claim compares",
  "unpin before release",
  // Writers.
  "one writer",
  "build before publish",
  "grace period",
  "look at all readers",
  "look after publish",
  "oldest first",
  "older roots count",
  "spare root is not in use",
  "return after the grace period",
  "nothing recycled after a timeout",
  "own section ends no wait",
  "no sleep for the lock in a section",
  "announce the wait",
  "recycle before unlock",
  "announce the wait for the lock",
  "notify after unlock",
  // The gate of `barrier: true` and of pauseVcpus.
  "publication compares",
  "a barrier has its own gate",
  "readers heed the gate",
  "readers unpin at the gate",
  "notify after unpin at the gate",
  "gate waits for all readers",
  "gate stays closed until the publication",
  "notify after the gate opens",
  "openings are counted",
  "openings before the look",
  // The hurry of a writer whose readers do not leave.
  "publication keeps the hurry",
  "a section is held once",
  "a hurry ends with the wait",
  "the last reader ends a hurry",
  "a hurry in vain is left to the last reader",
  "look behind the announcement of a hurry",
  "notify after a hurry",
  "a wake-up is passed on",
  // Death.
  "mark before the lock is free",
  "mark is gone after recovery",
  "recovery after a death",
  "recovery starts from the root",
  "recovery waits for pins",
  "recovery sleeps on the pin it saw",
  "recovery rebuilds the free list",
  "recovery rebuilds the id table",
  "recovery given up leaves the mark",
  "only the dead are reaped",
  "reap compares",
  "reap unpins before release",
  "reap notifies the writer",
  "reap notifies the lock",
  "reap opens the gate",
  "reap ends a hurry",
  "reap wakes at the gates",
  // Stores that must have left the processor's store buffer before the thread's next load.
  "pin is fenced",
  "root is fenced",
  "unpin is fenced",
  "unlock is fenced",
  "gate is fenced",
] as const;

export type Rule = (typeof RULES)[number];
