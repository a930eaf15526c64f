/**
 * Readers as an observer sees them.
 */
import { READER_BEHIND, READER_INSIDE, READER_KICKED, READER_STATE, READER_VCPU } from "./layout.js";

/** A vCPU, or the line of a thread's one-shot calls. */
export interface ReaderState {
  /** Address of its line, as `vcpu.reader`. */
  readonly reader: number;
  /** Token of the thread that owns it; what `engine.reap` wants after its death. */
  readonly owner: number;
  /** "vcpu": claimed by `engine.vcpu`; "thread": of a thread's one-shot calls. */
  readonly kind: "vcpu" | "thread";
  /** Address space of its lookups. */
  readonly asId: number;
  /** In a read section. */
  readonly inside: boolean;
  /** In a section of a layout that was replaced: a writer may be waiting for it. */
  readonly behind: boolean;
  /** Asked to leave its section, see `engine.kick`. */
  readonly kicked: boolean;
  /** Sections entered since it was claimed. */
  readonly sections: number;
  /** Lookups that found no slot since it was claimed. */
  readonly misses: number;
}

/** The ReaderState at word `at`. */
export function getReader(words: Uint32Array, at: number): ReaderState {
  const word = (offset: number) => words[at + offset / 4]!;
  const count = (offset: number) => word(offset) + word(offset + 4) * 2 ** 32;
  const state = word(READER_STATE.bits);
  return {
    reader: word(READER_STATE.reader),
    owner: word(READER_STATE.token),
    kind: state & READER_VCPU ? "vcpu" : "thread",
    asId: word(READER_STATE.asId),
    inside: (state & READER_INSIDE) !== 0,
    behind: (state & READER_BEHIND) !== 0,
    kicked: (state & READER_KICKED) !== 0,
    sections: count(READER_STATE.sections),
    misses: count(READER_STATE.misses),
  };
}
