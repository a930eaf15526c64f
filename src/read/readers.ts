/** The state of an engine's readers, for an observer. */
import {
  READER_BEHIND,
  READER_INSIDE,
  READER_KICKED,
  READER_STATE_AS_ID_OFFSET,
  READER_STATE_BITS_OFFSET,
  READER_STATE_MISSES_OFFSET,
  READER_STATE_READER_OFFSET,
  READER_STATE_SECTIONS_OFFSET,
  READER_STATE_TOKEN_OFFSET,
  READER_VCPU,
} from "../core/layout.js";
import { type Engine, threadOf } from "../core/thread.js";
import { collect } from "./snapshot.js";

/** State of a reader: a vCPU, or the line of a thread's one-shot calls. */
export interface ReaderState {
  /** Address of its line, as `vcpu.reader`. */
  readonly reader: number;
  /** Token of the thread that owns it; pass it to `engine.reap` after that thread's death. */
  readonly owner: number;
  /** "vcpu": claimed by `engine.vcpu`; "thread": the one-shot calls of a thread. */
  readonly kind: "vcpu" | "thread";
  /** Address space of its lookups. */
  readonly asId: number;
  /** True in a read section. */
  readonly inside: boolean;
  /** True in a section with a replaced layout: a writer may be waiting for it. */
  readonly behind: boolean;
  /** True if it was asked to leave its section, see `engine.kick`. */
  readonly kicked: boolean;
  /** Sections entered since it was claimed. */
  readonly sections: number;
  /** Lookups that found no slot since it was claimed. */
  readonly misses: number;
}

/**
 * The vCPUs and one-shot readers of all threads at this moment. The state is stale at once: display it, but decide
 * nothing by it.
 * @throws TypeError
 */
export function readersOf(engine: Engine): ReaderState[] {
  const thread = threadOf(engine);
  const reader = thread.reader(0);
  return collect(thread, reader, () => thread.wasm.nextReaders(reader), getReader);
}

/** Decode the ReaderState at word `at`. */
function getReader(words: Uint32Array, at: number): ReaderState {
  const word = (offset: number) => words[at + offset / 4]!;
  const count = (offset: number) => word(offset) + word(offset + 4) * 2 ** 32;
  const state = word(READER_STATE_BITS_OFFSET);
  return {
    reader: word(READER_STATE_READER_OFFSET),
    owner: word(READER_STATE_TOKEN_OFFSET),
    kind: state & READER_VCPU ? "vcpu" : "thread",
    asId: word(READER_STATE_AS_ID_OFFSET),
    inside: (state & READER_INSIDE) !== 0,
    behind: (state & READER_BEHIND) !== 0,
    kicked: (state & READER_KICKED) !== 0,
    sections: count(READER_STATE_SECTIONS_OFFSET),
    misses: count(READER_STATE_MISSES_OFFSET),
  };
}
