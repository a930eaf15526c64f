/**
 * The updates of a log by machine. A log may have several: two boots in one file, or a tracer of many processes.
 *
 *  - Updates of different processes or descriptors are of different machines. A tracer tells threads: two of them with
 *    one descriptor are of one machine if one changes a slot that another has made.
 *  - KVM never makes a slot anew that is there (it answers EINVAL or EEXIST): an update that it took all the same is
 *    the first of another machine.
 *
 * Mirrors the checks of kvm_set_memory_region (Linux virt/kvm/kvm_main.c).
 */
import type { TracedUpdate } from "./kvmtrace.js";
import { ParseError } from "./parseerror.js";

/** A machine of a log. */
export interface TracedMachine {
  /** Its first line, counted from 1. */
  readonly line: number;
  /** Process or threads, and descriptor, as far as the log tells. */
  readonly name: string;
  /** All of them, refused ones too, in order. */
  readonly updates: readonly TracedUpdate[];
}

interface Stream {
  readonly pids: Set<number | undefined>;
  readonly fd: number | undefined;
  readonly updates: TracedUpdate[];
  /** Slots that are there. */
  readonly slots: Map<number, TracedUpdate>;
}

const READONLY = 2;
const MACHINES_MAX = 1024;

/** KVM takes an update of a slot that is there only if it changes its place, or flags but READONLY, or deletes it. */
function fits(before: TracedUpdate | undefined, update: TracedUpdate): boolean {
  if (before === undefined || update.memorySize === 0n) return true;
  return (
    before.memorySize === update.memorySize &&
    before.userspaceAddr === update.userspaceAddr &&
    ((before.flags ^ update.flags) & READONLY) === 0
  );
}

/** It changes a slot that this stream has made. */
function refers(stream: Stream, update: TracedUpdate): boolean {
  const before = stream.slots.get(update.slot);
  if (before === undefined) return false;
  const sameHost = before.userspaceAddr === update.userspaceAddr;
  return sameHost && (update.memorySize === 0n || before.memorySize === update.memorySize);
}

/** A line that tells no process may be of any: only some lines of a log have a prefix. */
function isOf({ pids }: Stream, pid: number | undefined): boolean {
  return pids.has(pid) || pid === undefined || (pids.size === 1 && pids.has(undefined));
}

function take(stream: Stream, update: TracedUpdate): void {
  stream.pids.add(update.pid);
  stream.updates.push(update);
  if (update.ret < 0) return;
  if (update.memorySize === 0n) stream.slots.delete(update.slot);
  else stream.slots.set(update.slot, update);
}

/** The machines of a log, in the order of their first lines. @throws ParseError for more than 1,024 of them */
export function machinesOf(updates: readonly TracedUpdate[]): TracedMachine[] {
  const streams: Stream[] = [];
  /** The streams that go on, newest first. */
  const open: Stream[] = [];
  for (const update of updates) {
    const { pid, fd } = update;
    const own = open.find((stream) => stream.fd === fd && isOf(stream, pid));
    const other = open.find((stream) => stream.fd === fd && refers(stream, update));
    let stream = own ?? (update.ret < 0 ? undefined : other);
    if (own !== undefined && other !== undefined && own !== other && !refers(own, update)) {
      stream = joined(own, other);
      open.splice(open.indexOf(other), 1);
      streams.splice(streams.indexOf(other), 1);
    }
    if (stream === undefined || (update.ret >= 0 && !fits(stream.slots.get(update.slot), update))) {
      if (stream !== undefined) open.splice(open.indexOf(stream), 1);
      stream = { pids: new Set(), fd, updates: [], slots: new Map() };
      if (streams.length === MACHINES_MAX) {
        throw new ParseError(update.line, `the log has more than ${MACHINES_MAX} machines`);
      }
      streams.push(stream);
      open.unshift(stream);
    }
    take(stream, update);
  }
  return streams
    .filter((stream) => stream.updates.length > 0)
    .sort((a, b) => a.updates[0]!.line - b.updates[0]!.line)
    .map(({ pids, fd, updates: own }) => ({ line: own[0]!.line, name: nameOf(pids, fd), updates: own }));
}

/** Two threads turn out to be of one machine. */
function joined(stream: Stream, other: Stream): Stream {
  const all = [...stream.updates, ...other.updates].sort((a, b) => a.line - b.line);
  stream.updates.length = 0;
  stream.slots.clear();
  for (const pid of other.pids) stream.pids.add(pid);
  for (const update of all) take(stream, update);
  return stream;
}

function nameOf(pids: ReadonlySet<number | undefined>, fd: number | undefined): string {
  const known = [...pids].filter((pid) => pid !== undefined);
  const of = known.length === 0 ? "" : `${known.length === 1 ? "process" : "threads"} ${known.join(", ")}`;
  return [of, fd === undefined ? "" : `descriptor ${fd}`].filter((text) => text !== "").join(", ");
}
