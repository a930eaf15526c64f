/**
 * The state that the threads of the model share, one byte per word, and the accesses to it.
 *
 *   | words and notebook | reader lines | root blocks | chunks | one block per thread |
 *
 * A root block is named by its number from 1 on, a chunk too, a layout by the number of its publication from
 * 1 on. A chunk holds the number of the layout that it was written for. Layout n replaced one chunk of its
 * predecessor, that of slot n % 2, and shares the other: so what each lookup must find follows from the
 * number alone.
 */
import type { Configuration } from "./configuration.js";
import type { Property } from "./properties.js";
import type { Rule } from "./rules.js";

/** The store of a thread that has not reached the memory yet; one at most. */
export interface StoreBuffer {
  readonly hasStore: boolean;
  buffer(word: number, value: number, fenced: boolean): void;
}

/** Lowest bits of the root in the engine; root numbers leave these free. */
export const GATE = 0x80;
export const HURRY = 0x40;
export const ROOT_BITS = GATE | HURRY;
/** Content of a free chunk. */
export const RECYCLED = 0;
/** Content of a chunk or a root block that is being written. */
export const HALF_BUILT = 0xff;
/** What a writer that dies with the lock leaves in its notebook, for all that others may know. */
export const POISON = 0xff;
/** Slots of a layout, each in a chunk of its own. */
export const SLOTS = 2;

const WORDS = [
  "root",
  "lock",
  "lockWaiters",
  "waiting",
  "gateOwner",
  "orphaned",
  "oldestRoot",
  "activeRoot",
  "free chunks",
  "id table",
  "openings",
  "hurried",
  // What the properties need to remember; no thread sees it.
  "(newest layout that a commit returned for)",
  "(layouts published)",
  "(deaths left)",
  "(gate holds all)",
] as const;

const ROOT = 0;
const LOCK = 1;
const LOCK_WAITERS = 2;
const WAITING = 3;
const GATE_OWNER = 4;
const ORPHANED = 5;
const OLDEST = 6;
const ACTIVE = 7;
const FREE = 8;
const IDS = 9;
const OPENINGS = 10;
const HURRIED = 11;
const RETURNED = 12;
const PUBLISHED = 13;
const DEATHS = 14;
const HELD = 15;

/** Room for the largest configuration. */
const STATE_BYTES_MAX = 192;
/** layout, chunk of slot 0, chunk of slot 1, chunk that it alone keeps alive once replaced. */
const BLOCK_BYTES = 4;

/** Slot whose chunk layout `layout` replaced. */
export function slotOf(layout: number): number {
  return layout % SLOTS;
}

/** Layout whose chunk layout `layout` has in a slot. */
export function writtenFor(layout: number, slot: number): number {
  return slotOf(layout) === slot || layout === 1 ? layout : layout - 1;
}

export class Machine {
  readonly bytes: Uint8Array;
  readonly lines: number;
  /** Lines that the gate waits for: those of vCPUs come first. */
  readonly vcpuLines: number;
  readonly roots: number;
  readonly chunks: number;
  /** Names of the bytes before the blocks of the threads, for traces. */
  readonly names: string[];
  /** The last step broke this property. */
  violation: Property | undefined;
  /** The last step has to wait for the thread's store buffer, and has not happened. */
  blocked = false;
  readonly #missing: Rule | undefined;
  /** Stores wait in buffers. */
  readonly buffers: boolean;
  readonly #pins: number;
  readonly #blocks: number;
  readonly #contents: number;

  constructor(configuration: Configuration, missing?: Rule) {
    this.#missing = missing;
    this.buffers = configuration.buffers ?? false;
    this.lines = (configuration.lines ?? configuration.readers) + (configuration.ownSection ? 1 : 0);
    this.vcpuLines = this.lines - (configuration.oneShot ?? 0);
    this.roots = configuration.roots;
    this.chunks = configuration.chunks;
    this.#pins = WORDS.length;
    this.#blocks = this.#pins + 2 * this.lines;
    this.#contents = this.#blocks + this.roots * BLOCK_BYTES;
    this.bytes = new Uint8Array(STATE_BYTES_MAX);
    this.names = [
      ...WORDS,
      ...range(this.lines).flatMap((line) => [`pin[${line}]`, `owner[${line}]`]),
      ...range(this.roots).flatMap((block) =>
        ["layout", "chunk0", "chunk1", "retired"].map((field) => `root ${block + 1}.${field}`),
      ),
      ...range(this.chunks).map((chunk) => `chunk ${chunk + 1}`),
    ];
  }

  /** Where the blocks of the threads begin. */
  get threadsStart(): number {
    return this.#contents + this.chunks;
  }

  keeps(rule: Rule): boolean {
    return rule !== this.#missing;
  }

  /** An engine with one layout, in root 1, chunks 1 and 2. */
  reset(deaths: number): void {
    const { bytes } = this;
    bytes.fill(0);
    bytes[ROOT] = bytes[OLDEST] = bytes[ACTIVE] = 1;
    bytes[IDS] = bytes[RETURNED] = bytes[PUBLISHED] = 1;
    bytes[DEATHS] = deaths;
    this.setLayout(1, 1);
    for (let slot = 0; slot < SLOTS; slot++) {
      this.setChunk(1, slot, slot + 1);
      this.setContent(slot + 1, 1);
    }
    this.free = this.allChunks & ~this.reachable(1);
  }

  // ---- the memory ----

  /** A store; with store buffers it is under way only, and `fenced` says that the thread waits for it. */
  store(thread: StoreBuffer, word: number, value: number, fenced = true): void {
    if (!this.buffers) this.bytes[word] = value;
    else if (thread.hasStore) this.blocked = true;
    else thread.buffer(word, value, fenced);
  }

  /** Read, modify, write as one access. It does not overtake the thread's own stores. */
  update(thread: StoreBuffer, word: number, value: number): void {
    if (thread.hasStore) this.blocked = true;
    this.bytes[word] = value;
  }

  /** A compare-and-swap; what was there before. */
  exchange(thread: StoreBuffer, word: number, expected: number, value: number): number {
    const before = this.bytes[word]!;
    this.update(thread, word, before === expected ? value : before);
    return before;
  }

  /**
   * The comparison that a futex makes before it sleeps: behind the thread's own stores, as one step with the
   * sleep.
   */
  stillHolds(thread: StoreBuffer, word: number, expected: number): boolean {
    if (thread.hasStore) this.blocked = true;
    return this.bytes[word] === expected;
  }

  // ---- shared words, by name ----

  readonly rootWord = ROOT;
  readonly lockWord = LOCK;
  readonly lockWaitersWord = LOCK_WAITERS;
  readonly waitingWord = WAITING;
  readonly gateOwnerWord = GATE_OWNER;
  readonly orphanedWord = ORPHANED;
  /** Slept on; its value is in the readers, which remember whether an opening was counted since they looked. */
  readonly openingsWord = OPENINGS;

  pinWord(line: number): number {
    return this.#pins + 2 * line;
  }

  ownerWord(line: number): number {
    return this.#pins + 2 * line + 1;
  }

  get root(): number {
    return this.bytes[ROOT]!;
  }

  get lock(): number {
    return this.bytes[LOCK]!;
  }

  get lockWaiters(): number {
    return this.bytes[LOCK_WAITERS]!;
  }

  get waiting(): number {
    return this.bytes[WAITING]!;
  }

  get gateOwner(): number {
    return this.bytes[GATE_OWNER]!;
  }

  get orphaned(): boolean {
    return this.bytes[ORPHANED] !== 0;
  }

  pin(line: number): number {
    return this.bytes[this.pinWord(line)]!;
  }

  owner(line: number): number {
    return this.bytes[this.ownerWord(line)]!;
  }

  // ---- the writer's notebook ----

  #note(word: number): number {
    const value = this.bytes[word]!;
    if (value === POISON) this.violation ??= "poison";
    return value;
  }

  /** The holder of the lock dies: nothing that it noted may be read before it is written anew. */
  poisonNotebook(): void {
    const { bytes } = this;
    bytes[OLDEST] = bytes[ACTIVE] = bytes[FREE] = bytes[IDS] = POISON;
    for (let root = 1; root <= this.roots; root++) this.setRetired(root, POISON);
  }

  get oldest(): number {
    return this.#note(OLDEST);
  }
  set oldest(value: number) {
    this.bytes[OLDEST] = value;
  }

  get active(): number {
    return this.#note(ACTIVE);
  }
  set active(value: number) {
    this.bytes[ACTIVE] = value;
  }

  /** A set of chunks: bit c - 1 is chunk c. */
  get free(): number {
    return this.#note(FREE);
  }
  set free(value: number) {
    this.bytes[FREE] = value;
  }

  /** The layout that the id table belongs to. */
  get ids(): number {
    return this.#note(IDS);
  }
  set ids(value: number) {
    this.bytes[IDS] = value;
  }

  /** The layout that a hurry was for last; nothing but time depends on it, so it is not poisoned. */
  get hurried(): number {
    return this.bytes[HURRIED]!;
  }
  set hurried(value: number) {
    this.bytes[HURRIED] = value;
  }

  // ---- root blocks and chunks ----

  #block(root: number): number {
    return this.#blocks + (root - 1) * BLOCK_BYTES;
  }

  layout(root: number): number {
    return this.bytes[this.#block(root)]!;
  }
  setLayout(root: number, layout: number): void {
    this.bytes[this.#block(root)] = layout;
  }

  chunk(root: number, slot: number): number {
    return this.bytes[this.#block(root) + 1 + slot]!;
  }
  setChunk(root: number, slot: number, chunk: number): void {
    this.bytes[this.#block(root) + 1 + slot] = chunk;
  }

  retired(root: number): number {
    return this.#note(this.#block(root) + 3);
  }
  setRetired(root: number, chunk: number): void {
    this.bytes[this.#block(root) + 3] = chunk;
  }

  content(chunk: number): number {
    return this.bytes[this.#contents + chunk - 1]!;
  }
  setContent(chunk: number, content: number): void {
    this.bytes[this.#contents + chunk - 1] = content;
  }

  get allChunks(): number {
    return (1 << this.chunks) - 1;
  }

  /** The chunks that a root reaches, as a set. */
  reachable(root: number): number {
    let set = 0;
    for (let slot = 0; slot < SLOTS; slot++) set |= 1 << (this.chunk(root, slot) - 1);
    return set;
  }

  /** The root block behind `root` in the ring. */
  next(root: number): number {
    return (root % this.roots) + 1;
  }

  previous(root: number): number {
    return root === 1 ? this.roots : root - 1;
  }

  // ---- what only the properties know ----

  get returned(): number {
    return this.bytes[RETURNED]!;
  }
  set returned(value: number) {
    this.bytes[RETURNED] = value;
  }

  get published(): number {
    return this.bytes[PUBLISHED]!;
  }
  set published(value: number) {
    this.bytes[PUBLISHED] = value;
  }

  /** A chunk that is free, and reachable for those who come now. */
  get isFreeAndReachable(): boolean {
    const free = this.bytes[FREE]!;
    return free !== POISON && (free & this.reachable(this.root & ~ROOT_BITS)) !== 0;
  }

  get deaths(): number {
    return this.bytes[DEATHS]!;
  }
  set deaths(value: number) {
    this.bytes[DEATHS] = value;
  }

  /** A writer has found all readers outside with the gate closed, and has not opened it since. */
  get held(): boolean {
    return this.bytes[HELD] === 1;
  }
  set held(value: boolean) {
    this.bytes[HELD] = value ? 1 : 0;
  }
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
