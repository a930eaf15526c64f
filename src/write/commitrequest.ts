/** A commit as words, on its way to the staging area. */
import type { Thread } from "../core/thread.js";
import type { EncodedWindows } from "./windows.js";

/** Encoded regions, and how to commit them. */
export interface CommitRequest {
  /** The operation, for errors. */
  op: string;
  words: Uint32Array;
  count: number;
  /** True if errors name the entry. */
  asList: boolean;
  /** One struct kvm_userspace_memory_region2. */
  version2: boolean;
  /** MMIO windows of the same commit. */
  windows: readonly EncodedWindows[];
  /** Edits of windows. */
  edits?: readonly EncodedWindows[];
  /** Changes of attributes, each a struct kvm_memory_attributes. */
  attributes?: readonly Uint32Array[];
  /** Stage a further struct at `staging`, under the lock. Throws if the core refuses it. */
  stage?: (thread: Thread, staging: number) => void;
}
