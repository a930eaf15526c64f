/**
 * Board: the words that the writer, the vCPUs and the page share. The writer posts the pages to look up; each vCPU
 * writes its results into its own line, and the page reads them when it draws a frame.
 *
 *   banks     two of them, of probes: the writer fills the one that is not in use, then selects it by the step
 *   readings  a line per vCPU: its last lookup, its last miss, and its counts
 *
 * The step is that of src/replay/progress.ts: even steps use bank 0, odd ones bank 1. The writer fills a bank again
 * only when every vCPU has been in a section of the step after it.
 */
import { type EncodedProbes, encodeProbes, type Probe } from "../../src/replay/probes.js";
import { Progress } from "../../src/replay/progress.js";

/** Numbers of an encoded probe, as in encodeProbes. */
const FIELDS = 5;
const PROBES_MAX = 2048;
/** Numbers of a vCPU's line: 128 bytes. */
const LINE = 16;
const GPA = 0;
const MISSED_GPA = 1;
const COUNTS = 2;

/** Ways to make a commit: each update published by itself, or all of them by one store. */
export const MODES = ["oneByOne", "list"] as const;
export type Mode = (typeof MODES)[number];

export interface BoardBuffers {
  readonly vcpus: number;
  readonly progress: SharedArrayBuffer;
  readonly banks: SharedArrayBuffer;
  readonly readings: SharedArrayBuffer;
}

export interface Counts {
  readonly lookups: number;
  readonly misses: number;
}

export interface Reading {
  /** Guest address of the last lookup. */
  readonly gpa: number;
  /** Guest address of the last miss, -1 before the first. */
  readonly missedGpa: number;
  readonly counts: Readonly<Record<Mode, Counts>>;
}

/** A bank: its words are number of probes and index of the mode, the rest encoded probes. */
class Bank {
  readonly #words: Uint32Array;
  readonly probes: EncodedProbes;

  constructor(buffer: SharedArrayBuffer, index: number) {
    const bytes = 16 + PROBES_MAX * FIELDS * 8;
    this.#words = new Uint32Array(buffer, index * bytes, 4);
    this.probes = {
      fields: new Float64Array(buffer, index * bytes + 16, PROBES_MAX * FIELDS),
      // Of one commit: from 0 to the number of probes.
      firsts: new Uint32Array(buffer, index * bytes, 2),
    };
  }

  static readonly bytes = 16 + PROBES_MAX * FIELDS * 8;

  get mode(): number {
    return this.#words[2]!;
  }

  fill(probes: readonly Probe[], mode: Mode): void {
    const some = probes.slice(0, PROBES_MAX);
    this.probes.fields.set(encodeProbes([some]).fields);
    this.#words.set([0, some.length, MODES.indexOf(mode)]);
  }
}

export class Board {
  readonly buffers: BoardBuffers;
  readonly progress: Progress;
  readonly banks: readonly [Bank, Bank];
  readonly #readings: Float64Array;

  constructor(buffers: BoardBuffers) {
    this.buffers = buffers;
    this.progress = new Progress(buffers.vcpus, buffers.progress);
    this.banks = [new Bank(buffers.banks, 0), new Bank(buffers.banks, 1)];
    this.#readings = new Float64Array(buffers.readings);
  }

  static of(vcpus: number): Board {
    const board = new Board({
      vcpus,
      progress: new Progress(vcpus).buffer,
      banks: new SharedArrayBuffer(2 * Bank.bytes),
      readings: new SharedArrayBuffer(Math.max(1, vcpus) * LINE * 8),
    });
    for (let vcpu = 0; vcpu < vcpus; vcpu++) board.#readings[vcpu * LINE + MISSED_GPA] = -1;
    return board;
  }

  /**
   * Called by the writer: make the vCPUs look up these probes. Returns when every vCPU looks up these and no others.
   */
  watch(probes: readonly Probe[], mode: Mode): void {
    const next = this.progress.step + 1;
    this.banks[next & 1]!.fill(probes, mode);
    this.progress.step = next;
    // The first section that ends may have begun before.
    this.progress.awaitSections(2);
  }

  /** Called by a vCPU: the results of a section. */
  note(vcpu: number, mode: number, gpa: number, lookups: number, misses: number, missedGpa: number): void {
    const line = vcpu * LINE;
    const readings = this.#readings;
    readings[line + GPA] = gpa;
    if (misses > 0) readings[line + MISSED_GPA] = missedGpa;
    readings[line + COUNTS + mode * 2]! += lookups;
    readings[line + COUNTS + mode * 2 + 1]! += misses;
  }

  /** Called by the page: the results of a vCPU so far. */
  reading(vcpu: number): Reading {
    const at = (index: number) => this.#readings[vcpu * LINE + index]!;
    const counts = (mode: number) => ({ lookups: at(COUNTS + mode * 2), misses: at(COUNTS + mode * 2 + 1) });
    return { gpa: at(GPA), missedGpa: at(MISSED_GPA), counts: { oneByOne: counts(0), list: counts(1) } };
  }
}
