/**
 * The threads that have attached to an engine, in a table of its memory. Two instances in one thread have tokens that
 * differ in the lowest bits only, so the core knows each other's sections; one token in two threads is refused; and a
 * writer that sleeps can find out whether a reader's thread is gone.
 */
import { ERRNO, KvmError } from "../kvm/errno.js";
import { isGone, kernelThread, threadIdentity } from "../runtime/liveness.js";
import { damaged } from "./damage.js";
import type { EngineExports } from "./exports.js";
import {
  ATTACHED_THREAD_BYTES,
  ATTACHED_THREAD_IDENTITY_OFFSET,
  ATTACHED_THREAD_INSTANCES_OFFSET,
  ATTACHED_THREAD_KERNEL_THREAD_OFFSET,
  ATTACHED_THREAD_OWNER_OFFSET,
  ATTACHED_THREAD_TOKENS_OFFSET,
  HEADER_MAX_VCPUS_OFFSET,
  HEADER_THREADS_OFFSET,
  OWNERS_PER_THREAD,
  VCPUS_MAX,
} from "./layout.js";

/** What the table needs of a thread. */
interface Place {
  readonly wasm: EngineExports;
  readonly memory: WebAssembly.Memory;
  readonly base: number;
}

/** An instance of this thread in the table. */
export interface Membership {
  readonly owner: number;
  /** Take the instance off the table. */
  leave(): void;
}

/** Words of the table, and the word at which each of its places begins. */
interface Table {
  readonly words: Int32Array;
  readonly identities: Float64Array;
  readonly places: readonly number[];
}

const OWNER = ATTACHED_THREAD_OWNER_OFFSET / 4;
const TOKENS = ATTACHED_THREAD_TOKENS_OFFSET / 4;
const INSTANCES = ATTACHED_THREAD_INSTANCES_OFFSET / 4;
const KERNEL_THREAD = ATTACHED_THREAD_KERNEL_THREAD_OFFSET / 4;

function tableOf({ memory, base }: Omit<Place, "wasm">): Table {
  const words = new Int32Array(memory.buffer);
  const first = words[(base + HEADER_THREADS_OFFSET) / 4]! >>> 2;
  const count = (words[(base + HEADER_MAX_VCPUS_OFFSET) / 4]! >>> 0) * 2;
  if (count > 2 * VCPUS_MAX || first + (count * ATTACHED_THREAD_BYTES) / 4 > words.length) {
    throw damaged("attach", `a table of ${count} threads at ${first * 4}`);
  }
  const places = Array.from({ length: count }, (_, i) => first + (i * ATTACHED_THREAD_BYTES) / 4);
  return { words, identities: new Float64Array(memory.buffer), places };
}

const identityAt = ({ identities }: Table, place: number): number =>
  identities[(place * 4 + ATTACHED_THREAD_IDENTITY_OFFSET) / 8]!;

function ownerAt({ words }: Table, place: number): number {
  return Atomics.load(words, place + OWNER) >>> 0;
}

/** Place of the thread that has a token; undefined if it has none. */
function placeOf(table: Table, owner: number): number | undefined {
  return table.places.find((place) => {
    const known = ownerAt(table, place);
    return known !== 0 && (known ^ owner) >>> 0 < OWNERS_PER_THREAD;
  });
}

/**
 * Enter an instance of this thread into the table. A full table is no error: then nothing is known of the thread.
 * @param given the token that a handle brings
 * @throws Error if another thread has that token; KvmError EAGAIN once all tokens are spent
 */
export function join({ wasm, memory, base }: Place, given: number | undefined): Membership {
  const table = tableOf({ memory, base });
  const me = threadIdentity();
  const mine = table.places.find((at) => ownerAt(table, at) !== 0 && identityAt(table, at) === me);
  const known = given === undefined ? mine : placeOf(table, given);
  if (given !== undefined && known !== undefined) checkMine(table, known, me);
  let owner = given ?? 0;
  if (given === undefined && known !== undefined) {
    const tokens = Atomics.add(table.words, known + TOKENS, 1) + 1;
    if (tokens < OWNERS_PER_THREAD) owner = ownerAt(table, known) + tokens;
  }
  if (known !== undefined && owner !== 0) return memberOf({ memory, base }, known, owner);
  if (owner === 0) owner = wasm.attachOwner(base) >>> 0;
  if (owner === 0) throw new KvmError(-ERRNO.EAGAIN, "attach", { reason: "all owner tokens are spent" });
  const place = table.places.find((at) => Atomics.compareExchange(table.words, at + OWNER, 0, owner) === 0);
  if (place === undefined) return { owner, leave() {} };
  // A token that a caller has made up may have its own low bits.
  const low = owner % OWNERS_PER_THREAD;
  Atomics.store(table.words, place + OWNER, owner - low);
  table.words[place + TOKENS] = low;
  table.words[place + INSTANCES] = 0;
  table.words[place + KERNEL_THREAD] = kernelThread();
  table.identities[(place * 4 + ATTACHED_THREAD_IDENTITY_OFFSET) / 8] = me;
  const twin = table.places.find((at) => at !== place && ownerAt(table, at) === owner - low);
  if (twin !== undefined) {
    free(table, place);
    checkMine(table, twin, me);
  }
  return memberOf({ memory, base }, place, owner);
}

function checkMine(table: Table, place: number, me: number): void {
  if (identityAt(table, place) === me) return;
  throw new Error(
    "handle.owner must be of this thread, but another one has attached with it: superviseWorker makes a handle for " +
      "each worker",
  );
}

function memberOf(where: Omit<Place, "wasm">, place: number, owner: number): Membership {
  Atomics.add(tableOf(where).words, place + INSTANCES, 1);
  return {
    owner,
    leave() {
      // Anew: a memory that has grown since has other views.
      const table = tableOf(where);
      if (Atomics.sub(table.words, place + INSTANCES, 1) === 1) free(table, place);
    },
  };
}

function free({ words, identities }: Table, place: number): void {
  identities[(place * 4 + ATTACHED_THREAD_IDENTITY_OFFSET) / 8] = 0;
  Atomics.store(words, place + OWNER, 0);
}

/**
 * The thread that has token `dead` is gone: free what it had under all its tokens, for `reaper`.
 * @returns number of freed reader lines
 */
export function reapThread({ wasm, memory, base }: Place, reaper: number, dead: number): number {
  const table = tableOf({ memory, base });
  const place = placeOf(table, dead);
  // Of this very thread, which is not gone, only the one instance.
  if (place === undefined || identityAt(table, place) === threadIdentity()) {
    return wasm.reapOwner(base, reaper, dead);
  }
  const first = ownerAt(table, place);
  const tokens = Math.min(Atomics.load(table.words, place + TOKENS), OWNERS_PER_THREAD - 1);
  let freed = 0;
  for (let i = 0; i <= tokens; i++) freed += wasm.reapOwner(base, reaper, first + i);
  free(table, place);
  return freed;
}

/** Reap every thread of which the kernel says that it is gone. @returns true if there was one */
export function reapGone(place: Place, reaper: number): boolean {
  const table = tableOf(place);
  const gone = table.places.filter(
    (at) =>
      ownerAt(table, at) !== 0 && identityAt(table, at) !== 0 && isGone(table.words[at + KERNEL_THREAD]!),
  );
  for (const at of gone) {
    reapThread(place, reaper, ownerAt(table, at));
    // In a damaged table another place may have its token: this one must not be found gone for ever.
    free(table, at);
  }
  return gone.length > 0;
}

/** Whether the engine would know if the thread with this token were gone. */
export function isWatched(place: Omit<Place, "wasm">, owner: number): boolean {
  const table = tableOf(place);
  const at = placeOf(table, owner);
  return at !== undefined && table.words[at + KERNEL_THREAD] !== 0;
}
