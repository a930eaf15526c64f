/**
 * What a run of the checker consists of: who takes part, what they do, who may die. Each is small enough to
 * be covered whole; together they meet every rule of the protocol.
 */

/** What a writer's thread asks of the engine. */
export type Operation =
  | "commit"
  | "commit, wait: false"
  | "commit, barrier: true"
  | "pause"
  | "resume"
  | "synchronize"
  | "synchronize, no sleep";

export interface Configuration {
  readonly name: string;
  readonly readers: number;
  /** Sections of each reader; a section makes two lookups. */
  readonly sections: number;
  /** Each section moves to the newest layout after its first lookup, and makes two more. */
  readonly refresh?: boolean;
  /**
   * Reader lines, if fewer than readers: readers claim one and give it back. Otherwise reader i owns line i.
   */
  readonly lines?: number;
  /** The last so many readers are no vCPUs but one-shot calls, which the gate does not hold. */
  readonly oneShot?: number;
  /** The operations of each writer. One more commit comes after all of them, when nobody else is left. */
  readonly writers: readonly (readonly Operation[])[];
  /** Writer 0 commits inside a section of its own, on a line of its own behind those of the readers. */
  readonly ownSection?: boolean;
  /** All layouts are published behind a closed gate. */
  readonly barrier?: boolean;
  readonly roots: number;
  readonly chunks: number;
  /** Threads that may die, at any step. */
  readonly kills: number;
  readonly mortal?: readonly ("reader" | "writer" | "reaper")[];
  /** Threads that know for certain who is dead, and clear up; 1 if not given. */
  readonly reapers?: number;
  /** Waiting writers may run out of time. */
  readonly timeouts?: boolean;
  /** Writers that wait may be in a hurry. */
  readonly hurry?: boolean;
  /** Each store waits in a buffer of its thread, as on x86, until it is drained some time later. */
  readonly buffers?: boolean;
}

/** Room for two replaced layouts, in roots and in chunks. */
const ROOM = { roots: 3, chunks: 4 } as const;

export const CONFIGURATIONS: readonly Configuration[] = [
  {
    ...ROOM,
    name: "commits that wait",
    readers: 2,
    sections: 2,
    writers: [["commit"], ["commit"]],
    kills: 1,
  },
  {
    ...ROOM,
    name: "sections that refresh",
    readers: 2,
    sections: 1,
    refresh: true,
    writers: [["commit", "commit"]],
    kills: 1,
  },
  {
    name: "commits with wait: false, few roots",
    readers: 2,
    sections: 1,
    writers: [["commit, wait: false", "commit, wait: false", "commit, wait: false", "synchronize"]],
    roots: 3,
    chunks: 5,
    kills: 0,
  },
  {
    name: "commits with wait: false, few chunks",
    readers: 1,
    sections: 1,
    writers: [
      ["commit, wait: false", "commit, wait: false"],
      ["commit, wait: false", "synchronize"],
    ],
    roots: 4,
    chunks: 4,
    kills: 1,
  },
  {
    ...ROOM,
    name: "commits that run out of time",
    readers: 2,
    sections: 1,
    writers: [["commit", "commit"]],
    kills: 1,
    timeouts: true,
  },
  {
    ...ROOM,
    name: "death during recovery",
    readers: 1,
    sections: 1,
    writers: [["commit"], ["commit"], ["commit"]],
    kills: 2,
    mortal: ["writer"],
  },
  {
    ...ROOM,
    name: "recovery that runs out of time",
    readers: 1,
    sections: 2,
    writers: [["commit"], ["commit"]],
    kills: 1,
    mortal: ["writer"],
    timeouts: true,
  },
  {
    ...ROOM,
    name: "commits with barrier: true",
    readers: 2,
    sections: 1,
    writers: [["commit, barrier: true"], ["commit, barrier: true"]],
    barrier: true,
    kills: 0,
  },
  {
    ...ROOM,
    name: "barrier, refresh, time-outs, death",
    readers: 2,
    sections: 1,
    refresh: true,
    writers: [["commit, barrier: true"]],
    barrier: true,
    kills: 1,
    timeouts: true,
  },
  {
    ...ROOM,
    name: "death with the gate closed",
    readers: 2,
    sections: 1,
    writers: [["pause", "resume"], ["commit, barrier: true"]],
    barrier: true,
    kills: 1,
    mortal: ["writer"],
  },
  {
    ...ROOM,
    name: "commit between pause and resume",
    readers: 2,
    sections: 1,
    writers: [["pause", "commit, barrier: true", "resume", "commit, barrier: true"]],
    barrier: true,
    kills: 1,
  },
  {
    ...ROOM,
    name: "the same beside one-shot calls",
    readers: 2,
    oneShot: 1,
    sections: 1,
    writers: [["pause", "commit", "resume", "commit, barrier: true"]],
    barrier: true,
    kills: 1,
  },
  {
    ...ROOM,
    name: "readers that share a line",
    readers: 2,
    sections: 1,
    lines: 1,
    writers: [["commit", "commit"]],
    kills: 1,
  },
  {
    ...ROOM,
    name: "two reapers, mortal, of a line",
    readers: 2,
    sections: 1,
    lines: 1,
    writers: [["commit"]],
    kills: 2,
    mortal: ["reader", "writer", "reaper"],
    reapers: 2,
  },
  {
    ...ROOM,
    name: "two reapers, mortal, of gate and lock",
    readers: 1,
    sections: 1,
    writers: [["commit, barrier: true"]],
    barrier: true,
    kills: 2,
    mortal: ["writer", "reaper"],
    reapers: 2,
  },
  {
    ...ROOM,
    name: "commits inside a section of the own thread",
    readers: 1,
    sections: 1,
    writers: [["commit", "commit"], ["commit"]],
    ownSection: true,
    kills: 1,
    timeouts: true,
  },
  {
    ...ROOM,
    name: "hurry",
    readers: 2,
    sections: 2,
    writers: [["commit"]],
    kills: 1,
    hurry: true,
  },
  {
    ...ROOM,
    name: "hurry, refresh, time-outs, death",
    readers: 2,
    sections: 1,
    refresh: true,
    writers: [["commit"]],
    kills: 1,
    timeouts: true,
    hurry: true,
  },
  {
    ...ROOM,
    name: "hurry that holds two readers",
    readers: 3,
    sections: 1,
    writers: [["commit"]],
    kills: 0,
    hurry: true,
  },
  {
    ...ROOM,
    name: "hurry of two writers",
    readers: 1,
    sections: 2,
    writers: [["commit"], ["commit"]],
    kills: 1,
    hurry: true,
  },
  {
    ...ROOM,
    name: "hurry of a writer that does not sleep",
    readers: 2,
    sections: 1,
    writers: [["commit, wait: false", "synchronize, no sleep", "synchronize, no sleep"]],
    kills: 1,
    hurry: true,
  },
  {
    ...ROOM,
    name: "the same beside one that does",
    readers: 1,
    sections: 2,
    writers: [["commit, wait: false", "synchronize, no sleep"], ["commit"]],
    kills: 0,
    hurry: true,
  },
  {
    ...ROOM,
    name: "hurry, pause, barrier, death",
    readers: 1,
    sections: 1,
    writers: [
      ["pause", "commit", "resume"],
      ["commit", "commit, barrier: true"],
    ],
    kills: 1,
    mortal: ["writer"],
    hurry: true,
  },
  {
    ...ROOM,
    name: "hurry beside one-shot calls",
    readers: 2,
    oneShot: 1,
    sections: 1,
    writers: [["commit", "commit, wait: false", "synchronize, no sleep"]],
    kills: 1,
    hurry: true,
  },
  {
    ...ROOM,
    name: "hurry, two reapers",
    readers: 1,
    sections: 1,
    writers: [["commit, wait: false", "synchronize, no sleep"]],
    kills: 1,
    mortal: ["reader", "writer"],
    reapers: 2,
    hurry: true,
  },
  {
    ...ROOM,
    name: "store buffers, hurry",
    readers: 2,
    sections: 1,
    writers: [["commit, wait: false", "synchronize, no sleep"]],
    kills: 0,
    buffers: true,
    hurry: true,
  },
  {
    ...ROOM,
    name: "store buffers",
    readers: 2,
    sections: 1,
    writers: [["commit"], ["commit"]],
    kills: 0,
    buffers: true,
  },
  {
    ...ROOM,
    name: "store buffers, barrier, death",
    readers: 2,
    sections: 1,
    writers: [["commit, barrier: true"]],
    barrier: true,
    kills: 1,
    buffers: true,
  },
];
