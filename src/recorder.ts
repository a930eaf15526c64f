/**
 * A record of an engine's commits, as JSON lines of the form that `memslots replay` reads (src/cli/trace.ts):
 * a header, then per commit one line for each slot that it changed. A line tells what is different now, not
 * which entries the list had: deletes first, then what is made, so that the updates can also be made one by one.
 * Windows are told by a mark. The same commits give the same lines; there is no clock unless one is handed in.
 */
import { show } from "./region.js";
import { KVM_MEM_READONLY, TASK_SIZE_MAX } from "./uapi.js";
import type { MmioWindow } from "./windows.js";

/** Bytes of the block that stands for the whole host if no blocks are named: what a trace can tell of. */
const HOST_BYTES = 0x6000_0000_0000;
const PAGE_SHIFT = 12;

/** Host memory that a record names. */
export interface RecordedBlock {
  /** Host address of its first byte. */
  readonly host: number;
  /** Its size. */
  readonly bytes: number;
}

/** Options of `engine.record`. */
export interface RecordOptions {
  /** Name of the machine; "memslots" if not given. */
  machine?: string;
  /** Host memory by name; if not given, one block "host" from address 0 on. */
  blocks?: Readonly<Record<string, RecordedBlock>>;
  /** Seconds, for field `t`; if not given, the number of the publication. */
  clock?: () => number;
}

interface Slot {
  readonly slot: number;
  readonly flags: number;
  readonly guestPhysAddr: number;
  readonly memorySize: number;
  readonly userspaceAddr: number;
}

/** What is needed of a MemslotEngine. */
export interface RecordedEngine {
  readonly addressSpaces: number;
  readonly pageShift: number;
  readonly publications: number;
  slots(asId: number): Slot[];
  windows(asId: number): MmioWindow[];
}

const hex = (value: number) => `0x${value.toString(16)}`;

/** KVM can make `after` of `before` in one update. */
function isFlagsOnly(before: Slot, after: Slot): boolean {
  return (
    before.guestPhysAddr === after.guestPhysAddr &&
    before.memorySize === after.memorySize &&
    before.userspaceAddr === after.userspaceAddr &&
    ((before.flags ^ after.flags) & KVM_MEM_READONLY) === 0
  );
}

function checkBlocks(blocks: Readonly<Record<string, RecordedBlock>>): [string, RecordedBlock][] {
  if (typeof blocks !== "object" || blocks === null)
    throw new TypeError(`blocks must be an object, not ${show(blocks)}`);
  const entries = Object.entries(blocks);
  for (const [name, block] of entries) {
    for (const field of ["host", "bytes"] as const) {
      const value: unknown = block?.[field];
      if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
        throw new TypeError(`blocks.${name}.${field} must be an integer from 0 on, not ${show(value)}`);
      }
    }
    if (block.host + block.bytes > TASK_SIZE_MAX)
      throw new RangeError(`blocks.${name} must end below TASK_SIZE_MAX`);
  }
  return entries;
}

export class Recorder {
  readonly #engine: RecordedEngine;
  readonly #sink: (line: string) => void;
  readonly #blocks: [string, RecordedBlock][];
  readonly #clock: () => number;
  #slots = new Map<number, Slot>();
  #windows = "";
  #commit = 0;

  /** Write the header, and what is mapped already as commit 0. @throws TypeError, RangeError naming the option */
  constructor(engine: RecordedEngine, sink: (line: string) => void, options: RecordOptions) {
    if (typeof sink !== "function") throw new TypeError(`sink must be a function, not ${show(sink)}`);
    const { machine = "memslots", blocks = { host: { host: 0, bytes: HOST_BYTES } }, clock } = options;
    if (typeof machine !== "string") throw new TypeError(`machine must be a string, not ${show(machine)}`);
    if (clock !== undefined && typeof clock !== "function") {
      throw new TypeError(`clock must be a function, not ${show(clock)}`);
    }
    if (engine.pageShift !== PAGE_SHIFT) {
      throw new RangeError(
        `a record has pages of 4096 bytes, pageShift must be ${PAGE_SHIFT}, not ${engine.pageShift}`,
      );
    }
    this.#engine = engine;
    this.#sink = sink;
    this.#blocks = checkBlocks(blocks);
    this.#clock = clock ?? (() => engine.publications);
    const lengths = Object.fromEntries(this.#blocks.map(([name, { bytes }]) => [name, hex(bytes)]));
    this.#write({ machine, note: "recorded by engine.record", blocks: lengths });
    this.take();
  }

  #write(line: object): void {
    this.#sink(`${JSON.stringify(line)}\n`);
  }

  /** A commit was published: write what is different. @throws RangeError for host memory in no block */
  take(): void {
    const { addressSpaces } = this.#engine;
    const asIds = Array.from({ length: addressSpaces }, (_, asId) => asId);
    const slots = new Map(asIds.flatMap((asId) => this.#engine.slots(asId)).map((slot) => [slot.slot, slot]));
    const t = this.#clock();
    const gone: Slot[] = [];
    const made: [string, Slot][] = [];
    for (const [number, before] of this.#slots) {
      const after = slots.get(number);
      if (after === undefined || !isFlagsOnly(before, after))
        gone.push({ ...before, flags: 0, memorySize: 0 });
      else if (after.flags !== before.flags) made.push(["flags", after]);
    }
    for (const [number, after] of slots) {
      const before = this.#slots.get(number);
      if (before === undefined || !isFlagsOnly(before, after)) made.push(["create", after]);
    }
    const lines = [
      ...gone.map((slot) => this.#update("delete", slot, t)),
      ...made.map(([kind, slot]) => this.#update(kind, slot, t)),
    ];
    const windows = asIds.map((asId) => this.#engine.windows(asId));
    const text = windows.every((list) => list.length === 0) ? "" : JSON.stringify(windows);
    if (text !== this.#windows) lines.push({ t, mark: `windows of commit ${this.#commit}`, windows });
    this.#windows = text;
    this.#slots = slots;
    for (const line of lines) this.#write(line);
    this.#commit++;
  }

  #update(kind: string, { slot, flags, guestPhysAddr, memorySize, userspaceAddr }: Slot, t: number): object {
    const found = this.#blocks.find(
      ([, { host, bytes }]) => userspaceAddr >= host && userspaceAddr + memorySize <= host + bytes,
    );
    if (found === undefined) {
      throw new RangeError(`blocks must have the host memory of slot ${slot}, at ${hex(userspaceAddr)}`);
    }
    const [block, { host }] = found;
    const place = { gpa: hex(guestPhysAddr), size: hex(memorySize), block, off: hex(userspaceAddr - host) };
    return { t, commit: this.#commit, slot, kind, flags, ...place, ret: 0 };
  }
}
