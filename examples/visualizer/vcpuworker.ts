/**
 * A vCPU: looks up pages that are mapped before and after the current commit, section after section, and counts the
 * misses. It sleeps between bursts, so that an open page does not use a whole processor.
 */
import { type EngineHandle, HVA_BAD, MemslotEngine, type Vcpu } from "memslots";
import { choosePage, type ProbePage } from "../../src/replay/probes.js";
import { Board, type BoardBuffers } from "./board.js";

const SECTION_LOOKUPS = 16;
const BURST_SECTIONS = 32;
const SLEEP_MS = 4;
/** One of so many lookups is a write. */
const WRITE_EVERY = 8;

export interface VcpuTask {
  readonly handle: EngineHandle;
  readonly board: BoardBuffers;
  readonly number: number;
}

class Reader {
  readonly #vcpu: Vcpu;
  readonly #board: Board;
  readonly #number: number;
  readonly #page: ProbePage = { asId: 0, gpa: 0, before: 0, after: 0 };
  #random: number;

  constructor(vcpu: Vcpu, board: Board, number: number) {
    this.#vcpu = vcpu;
    this.#board = board;
    this.#number = number;
    this.#random = 0x9e37_79b9 ^ (number + 1);
  }

  /** xorshift32: a word that is not 0 never becomes 0. */
  #next(): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return this.#random >>> 0;
  }

  section(): void {
    const vcpu = this.#vcpu;
    const page = this.#page;
    const bank = this.#board.banks[this.#board.progress.step & 1]!;
    let lookups = 0;
    let misses = 0;
    let missedGpa = -1;
    vcpu.enter();
    for (let i = 0; i < SECTION_LOOKUPS; i++) {
      if (!choosePage(bank.probes, 0, this.#next(), page)) break;
      if (vcpu.asId !== page.asId) vcpu.asId = page.asId;
      const hva = vcpu.gpaToHvaRead(page.gpa);
      lookups++;
      if (hva === HVA_BAD) {
        misses++;
        missedGpa = page.gpa;
      } else if (hva !== page.before && hva !== page.after) {
        throw new Error(
          `guest address ${page.gpa} translates to ${hva}, not to ${page.before} or ${page.after}`,
        );
      }
      if (i % WRITE_EVERY === 0) vcpu.markDirty(page.gpa);
    }
    vcpu.exit();
    this.#board.note(this.#number, bank.mode, page.gpa, lookups, misses, missedGpa);
    this.#board.progress.note(this.#number);
  }
}

addEventListener("message", async ({ data }: MessageEvent<VcpuTask>) => {
  const board = new Board(data.board);
  const engine = await MemslotEngine.attach(data.handle);
  const reader = new Reader(engine.vcpu(), board, data.number);
  const never = new Int32Array(new SharedArrayBuffer(4));
  postMessage("ready");
  try {
    while (!board.progress.stopped) {
      for (let i = 0; i < BURST_SECTIONS; i++) reader.section();
      Atomics.wait(never, 0, 0, SLEEP_MS);
    }
  } catch (error) {
    board.progress.fail(data.number);
    // A page receives a worker's errors only, not its rejected promises.
    reportError(error);
  }
});
