/**
 * RHBZ 1979276 with the kernel that is in it: RAM is split, merged, moved and toggled under Linux and its programs, as
 * lists or one by one. As lists nobody notices; one by one the kernel's memory is gone for moments.
 */
import { random } from "../../../test/support/random.js";
import { type Booted, bootLinux, switchOff } from "../booted.js";
import { apply, type Change, roundOf, takeDirty, type Way } from "../changes.js";
import type { LinuxGuest } from "../guest.js";
import type { Machine } from "../machine.js";
import { sumsOf } from "./shell.js";

/** What the kernel writes when its memory is not there. */
const DEATH = /^.*(Oops|Unable to handle|Kernel panic|Internal error|BUG:|unhandled signal).*$/gm;
/** What a clean log of the kernel does not have. */
const DIRTY =
  "Oops|Unable to handle|panic|BUG|WARNING|Call Trace|unhandled signal|rcu.*stall|lockup|segfault";
/** The same in its log. */
const LOGGED = ["Unable to handle kernel ", "Oops - ", "Kernel panic - not syncing: "];
/** Messages of the log, whose end nothing marks; the kernel's formats and its names of causes are none. */
const MESSAGES = [
  /^Unable to handle kernel [\w ]+ at virtual address [0-9a-f]{16}/,
  /^Oops - [a-z() ]+ \[#\d+\]/,
  /^Kernel panic - not syncing: (Fatal exception( in interrupt)?|Kernel stack overflow|Attempted to kill init!)/,
];
const LINE_MAX = 200;
/** This thread gives way to what waits, the console's output, after so many commits. */
const BATCH = 16;
/** One by one: the guest gets so long to say its last words, ms. */
const LAST_WORDS_MS = 5000;
/** Work that goes on for as long as a file is there. */
const SUMS = "sha256sum /data/*; gzip < /data/0 | gunzip | sha256sum";
const REPEAT = `while [ -e /scratch/work ]; do ${SUMS}; done > /scratch/sums.$1`;
const WORK = `touch /scratch/run.$1; ${REPEAT}; rm /scratch/run.$1`;

export interface CommitsResult {
  readonly way: Way;
  readonly harts: number;
  readonly commits: number;
  readonly kinds: Readonly<Record<Change["what"], number>>;
  readonly seconds: number;
  /** Instructions of all harts meanwhile. */
  readonly instructions: number;
  /** Access faults: fetches, loads, stores. */
  readonly faults: readonly [fetch: number, load: number, store: number];
  readonly dirtyPages: number;
  /** Sums that programs made meanwhile. */
  readonly sums: number;
  /** What is not right: sums, and lines of the kernel's log. */
  readonly wrong: readonly string[];
  /** The kernel's last words; empty if it is alive. */
  readonly death: readonly string[];
}

export interface CommitsGoal {
  readonly harts: number;
  readonly commits: number;
  readonly seed: number;
}

function faultsOf(machine: Machine): number {
  const { fetchFaults, loadFaults, storeFaults } = machine.counts();
  return fetchFaults + loadFaults + storeFaults;
}

/** Commits until there are enough, or, one by one, until the kernel has died. */
async function commitAll(booted: Booted, way: Way, { commits: goal, seed }: CommitsGoal) {
  const { machine } = booted;
  const { int } = random(seed);
  const kinds = { split: 0, toggle: 0, move: 0, merge: 0 };
  let commits = 0;
  let dirtyPages = 0;
  while (commits < goal) {
    for (const change of roundOf(machine, int)) {
      if (change.what === "merge") dirtyPages += takeDirty(machine);
      apply(machine, change, way);
      kinds[change.what]++;
      commits++;
      if (commits % BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    // One by one, a round with faults is the last: the map is whole again, and the kernel can say what it has met.
    if (way === "one by one" && faultsOf(machine) > 0) break;
  }
  return { commits, kinds, dirtyPages };
}

/** Sums that are not those of the guest's files. */
function wrongSums(guest: LinuxGuest, text: string): { count: number; wrong: string[] } {
  const right = new Set(sumsOf(guest).trim().split("\n"));
  right.add(`${guest.files[0]!.sha256}  -`);
  const lines = text.trim().split("\n");
  return { count: lines.length, wrong: lines.filter((line) => !right.has(line)) };
}

/** Tell the guest's programs to end, and look at what they and the kernel have written. */
async function checkGuest({ console: output }: Booted, guest: LinuxGuest) {
  await output.run("rm /scratch/work; while ls /scratch/run.* > /scratch/left 2>&1; do sleep 0.1; done");
  const { count, wrong } = wrongSums(guest, await output.run("cat /scratch/sums.[0-9]*"));
  const log = await output.run(`dmesg | grep -E '${DIRTY}' || true`);
  return { sums: count, wrong: [...wrong, ...log.split("\n").filter((line) => line !== "")] };
}

/** What the kernel has put into its log, as a tool for crash dumps finds it: texts in RAM that are no formats. */
function loggedIn(machine: Machine): string[] {
  const ram = Buffer.from(machine.memory.buffer, machine.ramHva, machine.ramBytes);
  const lines: string[] = [];
  for (const start of LOGGED) {
    for (let at = ram.indexOf(start); at >= 0; at = ram.indexOf(start, at + 1)) {
      const text = ram.toString("latin1", at, at + LINE_MAX);
      lines.push(...MESSAGES.flatMap((message) => message.exec(text)?.[0] ?? []));
    }
  }
  return [...new Set(lines)];
}

/** Let the kernel say what it can. If it has died too early to write to its console, its log has it. */
async function lastWords({ console: output, machine }: Booted, from: number): Promise<string[]> {
  const end = performance.now() + LAST_WORDS_MS;
  while (performance.now() < end && !/end Kernel panic/.test(output.text.slice(from))) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const lines = [...output.text.slice(from).matchAll(DEATH)].map(([line]) => line.trim());
  return lines.length > 0 ? lines : loggedIn(machine);
}

export async function runCommits(
  module: WebAssembly.Module,
  guest: LinuxGuest,
  way: Way,
  goal: CommitsGoal,
): Promise<CommitsResult> {
  const booted = await bootLinux(module, guest, goal.harts);
  const { machine, console: output } = booted;
  let isOff = false;
  try {
    // Once without commits, so that what the kernel patches in its own code at first use is patched.
    await output.run(
      `(${SUMS}) > /scratch/sums.warm; touch /scratch/work; echo '${WORK}' > /scratch/work.sh`,
    );
    // A process for each hart and one more; started by a shell that ends, because this one would tell of their end.
    const jobs = Array.from({ length: goal.harts + 1 }, (_, i) => `sh /scratch/work.sh ${i} &`).join(" ");
    await output.run(`sh -c '${jobs}'`);
    const from = output.text.length;
    const before = machine.counts();
    const start = performance.now();
    const { commits, kinds, dirtyPages } = await commitAll(booted, way, goal);
    const seconds = (performance.now() - start) / 1000;
    const after = machine.counts();
    const death = way === "one by one" ? await lastWords(booted, from) : [];
    const checked = way === "list" ? await checkGuest(booted, guest) : { sums: 0, wrong: [] };
    if (way === "list") {
      await switchOff(booted);
      isOff = true;
    }
    return {
      way,
      harts: goal.harts,
      commits,
      kinds,
      seconds,
      instructions: after.instructions - before.instructions,
      faults: [
        after.fetchFaults - before.fetchFaults,
        after.loadFaults - before.loadFaults,
        after.storeFaults - before.storeFaults,
      ],
      dirtyPages,
      death,
      ...checked,
    };
  } finally {
    if (!isOff) await machine.end();
  }
}
