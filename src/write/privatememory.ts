/**
 * Private memory: guest_memfds, and attributes of guest memory. Each change is a commit without regions, so vCPUs
 * notice it as any other.
 */
import { MEMFD_REQUEST_FLAGS_OFFSET, MEMFD_REQUEST_SIZE_OFFSET } from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { putU64, toU32 } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { MemoryAttributes } from "../kvm/uapi.js";
import { attributesWords } from "./attributes.js";
import type { CommitRequest } from "./commitrequest.js";
import { DEFAULTS } from "./list.js";
import { structRefusal } from "./refusal.js";
import { commit, commitAsync } from "./writer.js";

const NO_WORDS = /* @__PURE__ */ new Uint32Array(0);

/** @throws as MemslotEngine.createGuestMemfd */
export function createMemfd(thread: Thread, size: number | bigint, flags: number | bigint): number {
  const { request, descriptor } = creation("createGuestMemfd", size, flags);
  try {
    commit(thread, request, DEFAULTS);
  } catch (error) {
    refuseUnpublished(error);
  }
  return descriptor();
}

/** The same without sleeping. */
export async function createMemfdAsync(
  thread: Thread,
  size: number | bigint,
  flags: number | bigint,
): Promise<number> {
  const { request, descriptor } = creation("createGuestMemfdAsync", size, flags);
  try {
    await commitAsync(thread, request, DEFAULTS);
  } catch (error) {
    refuseUnpublished(error);
  }
  return descriptor();
}

function creation(
  op: string,
  size: number | bigint,
  flags: number | bigint,
): { request: CommitRequest; descriptor: () => number } {
  const words = new Uint32Array(4);
  putU64(words, MEMFD_REQUEST_SIZE_OFFSET / 4, size, "size");
  putU64(words, MEMFD_REQUEST_FLAGS_OFFSET / 4, flags, "flags");
  let descriptor = 0;
  const request = requestOf(op, words, (thread) => {
    descriptor = thread.wasm.stageMemfd(thread.base);
    return descriptor;
  });
  return { request, descriptor: () => descriptor };
}

/** A file that is published is there, and no reader of an older layout can know of it: nothing to wait for. */
function refuseUnpublished(error: unknown): void {
  if (!(error instanceof KvmError && error.published === true)) throw error;
}

/** @throws as MemslotEngine.closeGuestMemfd */
export function closeMemfd(thread: Thread, descriptor: number): void {
  commit(thread, closing("closeGuestMemfd", descriptor), DEFAULTS);
}

/** The same without sleeping. */
export async function closeMemfdAsync(thread: Thread, descriptor: number): Promise<void> {
  await commitAsync(thread, closing("closeGuestMemfdAsync", descriptor), DEFAULTS);
}

function closing(op: string, descriptor: number): CommitRequest {
  const fd = toU32(descriptor, "descriptor");
  return requestOf(op, NO_WORDS, ({ wasm, base }) => {
    const result = wasm.stageMemfdClose(base, fd);
    if (result === -ERRNO.EBADF) {
      throw new KvmError(result, op, { reason: `descriptor ${fd} is no open guest_memfd` });
    }
    return result;
  });
}

/** @throws as MemslotEngine.setMemoryAttributes */
export function setAttributes(thread: Thread, attributes: MemoryAttributes): void {
  commit(thread, setting("setMemoryAttributes", attributes), DEFAULTS);
}

/** The same without sleeping. */
export async function setAttributesAsync(thread: Thread, attributes: MemoryAttributes): Promise<void> {
  await commitAsync(thread, setting("setMemoryAttributesAsync", attributes), DEFAULTS);
}

function setting(op: string, attributes: MemoryAttributes): CommitRequest {
  const words = attributesWords(attributes, "attributes");
  return requestOf(op, words, ({ wasm, base }) => wasm.stageAttributes(base));
}

/** A commit without regions: `words` are copied to the staging area, where `stage` reads them. */
function requestOf(op: string, words: Uint32Array, stage: (thread: Thread) => number): CommitRequest {
  return {
    op,
    words: NO_WORDS,
    count: 0,
    asList: false,
    version2: false,
    windows: [],
    stage: (thread, staging) => {
      thread.views.words(staging + words.byteLength).set(words, staging / 4);
      const result = stage(thread);
      if (result < 0) throw structRefusal(thread, op, result, words);
    },
  };
}
