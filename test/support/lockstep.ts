/**
 * Lockstep: two implementations are brought to a start layout together and then given a list, over and over. The
 * subject runs twice: one instance takes the list, the other its entries one by one.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, type UserspaceMemoryRegion } from "../../src/kvm/uapi.js";
import { firstDifference } from "./difference.js";
import {
  type Create,
  enableManualProtect,
  errnoOf,
  type Implementation,
  isKvmError,
} from "./implementation.js";
import { deletion } from "./region.js";
import { type Snapshot, snapshot, type Window } from "./snapshot.js";

/** Three pages beyond the four, so that an overhang is seen. */
const WINDOW: Window = { pageShift: 12, startGfn: 0, endGfn: 7, dirty: true };

interface Refusal {
  errno: number;
  index: number | undefined;
}

export interface Tally {
  accepted: number;
  refused: number;
  acceptedOneByOne: number;
}

export class CaseError extends Error {
  override readonly name = "CaseError";
}

export class Lockstep {
  readonly tally: Tally = { accepted: 0, refused: 0, acceptedOneByOne: 0 };
  readonly #subject: Implementation;
  readonly #oracle: Implementation;
  readonly #singles: Implementation;
  #start: readonly UserspaceMemoryRegion[] | undefined;
  #before: Snapshot | undefined;
  #singlesAtStart = false;

  private constructor(subject: Implementation, oracle: Implementation, singles: Implementation) {
    this.#subject = subject;
    this.#oracle = oracle;
    this.#singles = singles;
    for (const vm of [subject, oracle, singles]) enableManualProtect(vm);
  }

  static async create(subject: Create, oracle: Create): Promise<Lockstep> {
    const options = { maxSlots: 3, maxListEntries: 3 };
    return new Lockstep(await subject(options), await oracle(options), await subject(options));
  }

  /** Apply the list to both and its entries to the third. @throws CaseError at the first difference */
  run(start: readonly UserspaceMemoryRegion[], entries: readonly UserspaceMemoryRegion[]): void {
    const fail = (what: string): never => {
      throw new CaseError(`${what}\nstart ${JSON.stringify(start)}\nentries ${JSON.stringify(entries)}`);
    };
    this.#goTo(start);
    const refusal = applyList(this.#oracle, entries);
    const difference = firstDifference(applyList(this.#subject, entries), refusal, "result");
    if (difference) fail(difference);
    const expected = refusal ? this.#before! : snapshot(this.#oracle, WINDOW);
    const state = firstDifference(
      snapshot(this.#subject, WINDOW),
      expected,
      refusal ? "left behind" : "state",
    );
    if (state) fail(state);
    this.#oneByOne(entries, refusal, fail);
    if (refusal) this.tally.refused++;
    else this.tally.accepted++;
    if (firstDifference(expected, this.#before)) this.#start = undefined;
  }

  /** If the entries succeed one by one, the list succeeds and maps the same. */
  #oneByOne(
    entries: readonly UserspaceMemoryRegion[],
    refusal: Refusal | undefined,
    fail: (what: string) => never,
  ): void {
    if (!this.#singlesAtStart) reset(this.#singles, this.#start!);
    const { publications } = this.#singles;
    const accepted = entries.every((entry) => errnoOf(() => this.#singles.setUserMemoryRegion(entry)) === 0);
    this.#singlesAtStart = this.#singles.publications === publications;
    if (!accepted) return;
    this.tally.acceptedOneByOne++;
    if (refusal) fail(`accepted one by one, but refused as a list: ${JSON.stringify(refusal)}`);
    const difference = firstDifference(this.#subject.slots(0), this.#singles.slots(0), "one by one");
    if (difference) fail(difference);
  }

  #goTo(start: readonly UserspaceMemoryRegion[]): void {
    if (this.#start === start) return;
    for (const vm of [this.#subject, this.#oracle]) reset(vm, start);
    this.#start = start;
    this.#singlesAtStart = false;
    this.#before = snapshot(this.#subject, WINDOW);
    const difference = firstDifference(this.#before, snapshot(this.#oracle, WINDOW), "start");
    if (difference) throw new CaseError(`${difference}\nstart ${JSON.stringify(start)}`);
  }
}

/** An empty map first, so that no bitmap of an earlier case survives. */
function reset(vm: Implementation, start: readonly UserspaceMemoryRegion[]): void {
  vm.setUserMemoryRegionList(vm.slots(0).map(({ slot }) => deletion(slot)));
  vm.setUserMemoryRegionList(start);
  for (const { flags, guestPhysAddr, memorySize } of start) {
    if (flags & KVM_MEM_LOG_DIRTY_PAGES) vm.markDirty(Number(guestPhysAddr) + Number(memorySize) - 1);
  }
}

function applyList(vm: Implementation, entries: readonly UserspaceMemoryRegion[]): Refusal | undefined {
  try {
    vm.setUserMemoryRegionList(entries);
    return undefined;
  } catch (error) {
    if (!isKvmError(error)) throw error;
    return { errno: error.errno, index: error.index };
  }
}
