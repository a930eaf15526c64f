/**
 * A record of an engine's commits, as JSON lines of the form that `memslots replay` reads (src/trace/trace.ts): a
 * header, then per commit one line for each slot that it changed. A line tells what is different now, not which entries
 * the list had: deletes first, then what is made, so that the updates can also be made one by one. Windows and private
 * memory are told by marks. The same commits give the same lines; there is no clock unless one is handed in.
 */
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { checkFunction, checkObject, checkOptionNames, show, toAddress } from "../kvm/arguments.js";
import { type Slot, userEnd } from "../kvm/region.js";
import { KVM_MEM_GUEST_MEMFD, KVM_MEM_READONLY } from "../kvm/uapi.js";
import type { MmioWindow } from "../kvm/window.js";
import { attributesIn, memfdsIn } from "../read/privatelists.js";
import { slotsOf, windowsOf } from "../read/snapshot.js";

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

/** Options of `record`. */
export interface RecordOptions {
  /** Name of the machine; "memslots" if not given. */
  machine?: string | undefined;
  /** Host memory by name; if not given, one block "host" from address 0 on. */
  blocks?: Readonly<Record<string, RecordedBlock>> | undefined;
  /** Seconds, for field `t`; if not given, the number of the publication. */
  clock?: (() => number) | undefined;
}

/**
 * Write what is mapped now, and then every commit of this engine instance, as JSON lines that `memslots replay` reads.
 * Commits of other threads become part of this instance's next commit.
 * @param sink gets each line, its end included. It may commit: that commit is recorded behind the one being told
 * @returns ends the record; throws the error that has ended it before, if the sink threw, or a host address is in no
 *   block
 * @throws TypeError, RangeError naming the option
 *
 * @example
 * const lines = [];
 * const end = record(engine, (line) => lines.push(line), { machine: "my board" });
 */
export function record(
  engine: Engine,
  sink: (line: string) => void,
  options: RecordOptions = {},
): () => void {
  const thread = threadOf(engine);
  const recorder = new Recorder(thread, sink, options);
  let failure: { error: unknown } | undefined;
  const end = thread.onPublication(() => {
    // The commit is in force, whatever becomes of its record.
    try {
      recorder.take();
    } catch (error) {
      failure = { error };
      end();
    }
  });
  return () => {
    end();
    if (failure !== undefined) throw failure.error;
  };
}

const hex = (value: number | bigint) => `0x${value.toString(16)}`;

/** KVM can make `after` of `before` in one update. */
function isFlagsOnly(before: Slot, after: Slot): boolean {
  return (
    before.guestPhysAddr === after.guestPhysAddr &&
    before.memorySize === after.memorySize &&
    before.userspaceAddr === after.userspaceAddr &&
    before.guestMemfd === after.guestMemfd &&
    before.guestMemfdOffset === after.guestMemfdOffset &&
    ((before.flags ^ after.flags) & KVM_MEM_READONLY) === 0
  );
}

function checkBlocks(
  blocks: Readonly<Record<string, RecordedBlock>>,
  maxUserAddrBits: number,
): [string, RecordedBlock][] {
  checkObject(blocks, "blocks");
  const entries = Object.entries(blocks);
  for (const [name, block] of entries) {
    checkOptionNames<RecordedBlock>(block, { host: true, bytes: true }, `blocks.${name}`);
    toAddress(block.host, `blocks.${name}.host`);
    toAddress(block.bytes, `blocks.${name}.bytes`);
    if (block.host + block.bytes > userEnd(maxUserAddrBits)) {
      throw new RangeError(`blocks.${name} must end at or below ${hex(userEnd(maxUserAddrBits))}`);
    }
  }
  return entries;
}

/** guest_memfds and attributes as JSON, "" if there are none. Addresses of 2^53 and above are hexadecimal. */
function privateMemory(thread: Thread): string {
  const memfds = memfdsIn(thread);
  const attributes = attributesIn(thread);
  if (memfds.length === 0 && attributes.length === 0) return "";
  return JSON.stringify({ memfds, attributes }, (_, value) =>
    typeof value === "bigint" ? hex(value) : value,
  );
}

/** The map of one publication. */
interface RecordedMap {
  readonly t: number;
  readonly slots: ReadonlyMap<number, Slot>;
  readonly windows: readonly (readonly MmioWindow[])[];
  /** As privateMemory gives it. */
  readonly memory: string;
}

class Recorder {
  readonly #thread: Thread;
  readonly #sink: (line: string) => void;
  readonly #blocks: [string, RecordedBlock][];
  readonly #clock: () => number;
  #slots: ReadonlyMap<number, Slot> = new Map();
  #windows = "";
  #private = "";
  #commit = 0;
  /** Maps that are to be told: a sink that commits publishes the next one while its predecessor is written. */
  readonly #untold: RecordedMap[] = [];

  /** Write the header, and what is mapped already as commit 0. @throws TypeError, RangeError naming the option */
  constructor(thread: Thread, sink: (line: string) => void, options: RecordOptions) {
    checkFunction(sink, "sink");
    checkOptionNames<RecordOptions>(options, { machine: true, blocks: true, clock: true });
    const { machine = "memslots", blocks = { host: { host: 0, bytes: HOST_BYTES } }, clock } = options;
    if (typeof machine !== "string") throw new TypeError(`machine must be a string, not ${show(machine)}`);
    if (clock !== undefined) checkFunction(clock, "clock");
    if (thread.pageShift !== PAGE_SHIFT) {
      throw new RangeError(
        `a record has pages of 4096 bytes, pageShift must be ${PAGE_SHIFT}, not ${thread.pageShift}`,
      );
    }
    this.#thread = thread;
    this.#sink = sink;
    this.#blocks = checkBlocks(blocks, thread.maxUserAddrBits);
    this.#clock = clock ?? (() => thread.publications());
    const lengths = Object.fromEntries(this.#blocks.map(([name, { bytes }]) => [name, hex(bytes)]));
    this.#write({ machine, note: "recorded by memslots", blocks: lengths });
    this.take();
  }

  #write(line: object): void {
    this.#sink(`${JSON.stringify(line)}\n`);
  }

  /** A commit was published: write what is different. @throws RangeError for host memory in no block */
  take(): void {
    this.#untold.push(this.#map());
    // The lines of a commit stay together: the call that writes goes on with the next.
    if (this.#untold.length > 1) return;
    try {
      for (; this.#untold.length > 0; this.#untold.shift()) this.#tell(this.#untold[0]!);
    } finally {
      this.#untold.length = 0;
    }
  }

  /** What is mapped now. */
  #map(): RecordedMap {
    const asIds = Array.from({ length: this.#thread.addressSpaces }, (_, asId) => asId);
    const slots = asIds.flatMap((asId) => slotsOf(this.#thread, asId));
    return {
      t: this.#clock(),
      slots: new Map(slots.map((slot) => [slot.slot, slot])),
      windows: asIds.map((asId) => windowsOf(this.#thread, asId)),
      memory: privateMemory(this.#thread),
    };
  }

  #tell({ t, slots, windows, memory }: RecordedMap): void {
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
    const text = windows.every((list) => list.length === 0) ? "" : JSON.stringify(windows);
    if (text !== this.#windows) lines.push({ t, mark: `windows of commit ${this.#commit}`, windows });
    this.#windows = text;
    if (memory !== this.#private) {
      lines.push({ t, mark: `private memory of commit ${this.#commit}`, ...JSON.parse(memory || "{}") });
    }
    this.#private = memory;
    this.#slots = slots;
    for (const line of lines) this.#write(line);
    this.#commit++;
  }

  #update(kind: string, record: Slot, t: number): object {
    const { slot, flags, guestPhysAddr, memorySize, userspaceAddr, guestMemfd, guestMemfdOffset } = record;
    const found = this.#blocks.find(
      ([, { host, bytes }]) => userspaceAddr >= host && userspaceAddr + memorySize <= host + bytes,
    );
    if (found === undefined) {
      throw new RangeError(`blocks must have the host memory of slot ${slot}, at ${hex(userspaceAddr)}`);
    }
    const [block, { host }] = found;
    const place = { gpa: hex(guestPhysAddr), size: hex(memorySize), block, off: hex(userspaceAddr - host) };
    const file = { guestMemfd, guestMemfdOffset: hex(guestMemfdOffset ?? 0) };
    const memfd = flags & KVM_MEM_GUEST_MEMFD ? file : {};
    return { t, commit: this.#commit, slot, kind, flags, ...place, ...memfd, ret: 0 };
  }
}
