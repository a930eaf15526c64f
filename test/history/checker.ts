/**
 * Is a history of commits and sections linearizable? It is if every commit and every section can be put at one moment
 * between its begin and its end, so that each section has seen the layout of its moment.
 *
 * The values of a commit are its own, so that a value tells the commit. The generations order the commits: that order
 * must agree with the clock. A section has seen one layout if there is a commit that none of the values is younger than
 * and none has been replaced by. Of the layouts that fit, a section takes the oldest that no section before it (by the
 * clock) had gone beyond: if there is none, no other choice helps, because any other is younger.
 */

/** A commit has written these cells. Times in nanoseconds. */
export interface Commit {
  readonly begun: number;
  readonly ended: number;
  readonly id: number;
  readonly generation: number;
  readonly cells: readonly number[];
}

/** A section has found these values in these cells. */
export interface Section {
  readonly begun: number;
  readonly ended: number;
  readonly seen: readonly { readonly cell: number; readonly value: number }[];
}

export interface History {
  /** Of all cells: those of commit id 0. */
  readonly cells: number;
  readonly commits: readonly Commit[];
  readonly sections: readonly Section[];
}

/** What contradicts linearizability, in words. */
export function violationsOf({ cells, commits: given, sections }: History): string[] {
  const violations: string[] = [];
  const commits = [...given].sort((a, b) => a.generation - b.generation);
  commits.forEach((commit, i) => {
    const before = commits[i - 1];
    if (before?.generation === commit.generation) {
      violations.push(`commits ${before.id} and ${commit.id} have generation ${commit.generation}`);
    }
  });
  checkOrder(commits, violations);
  const written = writtenIn(cells, commits);
  const placeOf = new Map(commits.map(({ id }, i) => [id, i + 1]));
  placeOf.set(0, 0);
  /** When a commit and all before it had begun; when the first of it and those after it had ended. Both ascend. */
  const begins = prefixMax(commits.map(({ begun }) => begun));
  const ends = suffixMin(commits.map(({ ended }) => ended));
  /** By their begin. */
  const ordered = [...sections].sort((a, b) => a.begun - b.begun);
  /** Sections by their end, and the youngest layout that one of them had, or one before it. */
  const past = new Past();
  for (const section of ordered) {
    let [low, high] = [0, commits.length + 1];
    for (const { cell, value } of section.seen) {
      const id = Math.floor(value / cells);
      const place = placeOf.get(id);
      const writes = written[cell]!;
      const at = place === undefined || value % cells !== cell ? -1 : writes.indexOf(place);
      if (at < 0) {
        violations.push(`a section found ${value} in cell ${cell}, which nobody has put there`);
        continue;
      }
      low = Math.max(low, place!);
      high = Math.min(high, writes[at + 1] ?? commits.length + 1);
    }
    // Layout k is there from commit k on: what has ended before the section is in it, what begins after it is not.
    const oldest = Math.max(low, countBelow(ends, section.begun), past.youngest(section.begun));
    const youngest = Math.min(high - 1, countUpTo(begins, section.ended));
    if (oldest > youngest) {
      const seen = section.seen.map(({ cell, value }) => `${cell}: ${Math.floor(value / cells)}`).join(", ");
      const what = low >= high ? "of no one layout" : "not of its time";
      violations.push(`a section of ${section.begun} to ${section.ended} saw cells ${what}: ${seen}`);
    } else past.add(section.ended, oldest);
  }
  return violations;
}

/** A commit that has ended before another begins is before it. */
function checkOrder(commits: readonly Commit[], violations: string[]): void {
  let latest: Commit | undefined;
  for (const commit of commits) {
    if (latest !== undefined && commit.ended < latest.begun) {
      violations.push(`commit ${commit.id} ended before ${latest.id} began, but has the higher generation`);
    }
    if (latest === undefined || commit.begun > latest.begun) latest = commit;
  }
}

/** The commits, by their place from 1 on, that have written each cell; 0 is the layout at the beginning. */
function writtenIn(cells: number, commits: readonly Commit[]): Places[] {
  const written = Array.from({ length: cells }, () => new Places([0]));
  commits.forEach(({ cells: own }, i) => {
    for (const cell of own) written[cell]!.push(i + 1);
  });
  return written;
}

/** Ascending places. */
class Places extends Array<number> {
  constructor(places: readonly number[]) {
    super();
    this.push(...places);
  }

  override indexOf(place: number): number {
    const at = countBelow(this, place);
    return this[at] === place ? at : -1;
  }
}

/** The youngest layout of the sections that had ended at a time; asked for times in any order. */
class Past {
  readonly #ends: number[] = [];
  readonly #layouts: number[] = [];

  /** Layouts that an earlier end has gone beyond tell nothing more: both lists ascend. */
  add(ended: number, layout: number): void {
    let at = countBelow(this.#ends, ended);
    if (at > 0 && this.#layouts[at - 1]! >= layout) return;
    let covered = 0;
    while (at + covered < this.#layouts.length && this.#layouts[at + covered]! <= layout) covered++;
    this.#ends.splice(at, covered, ended);
    this.#layouts.splice(at, covered, layout);
    at++;
  }

  youngest(begun: number): number {
    return this.#layouts[countBelow(this.#ends, begun) - 1] ?? 0;
  }
}

function prefixMax(values: readonly number[]): number[] {
  let most = Number.NEGATIVE_INFINITY;
  return values.map((value) => {
    most = Math.max(most, value);
    return most;
  });
}

function suffixMin(values: readonly number[]): number[] {
  let least = Number.POSITIVE_INFINITY;
  const result = [...values];
  for (let i = values.length - 1; i >= 0; i--) {
    least = Math.min(least, values[i]!);
    result[i] = least;
  }
  return result;
}

/** How many of ascending numbers are below `value`. */
function countBelow(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many of ascending numbers are at most `value`. */
function countUpTo(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
