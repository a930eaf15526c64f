/**
 * Waiting for a generation. A thread counts itself as an observer and sleeps on the root word; publications wake
 * observers.
 */
import { HEADER_ROOT_OFFSET } from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { checkOptionNames, show } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { blockOnWord, deadline, stepAsync } from "../runtime/waiting.js";
import { checkTimeout, type WaitOptions } from "./commitoptions.js";

/** Options of `waitGeneration`. */
export interface GenerationOptions extends WaitOptions {
  /** Address space; 0 if not given. */
  asId?: number | undefined;
}

/** @throws as MemslotEngine.waitGeneration */
export function awaitGeneration(thread: Thread, generation: number, options: GenerationOptions): void {
  const { wasm, base, memory } = thread;
  const { asId, timeout } = checkWait(thread, generation, options);
  const left = deadline(timeout);
  wasm.observe(base, 1);
  try {
    for (;;) {
      const seen = thread.header(HEADER_ROOT_OFFSET) | 0;
      if (thread.generation(asId) >= generation) return;
      if (left() === 0 || !thread.blocks) throw generationError("waitGeneration");
      blockOnWord(memory, (base + HEADER_ROOT_OFFSET) / 4, seen, left());
    }
  } finally {
    wasm.observe(base, -1);
  }
}

/** The same without sleeping. */
export async function awaitGenerationAsync(
  thread: Thread,
  generation: number,
  options: GenerationOptions,
): Promise<void> {
  const { wasm, base, memory } = thread;
  const { asId, timeout } = checkWait(thread, generation, options);
  const left = deadline(timeout);
  wasm.observe(base, 1);
  try {
    for (;;) {
      const seen = thread.header(HEADER_ROOT_OFFSET) | 0;
      if (thread.generation(asId) >= generation) return;
      if (left() === 0) throw generationError("waitGenerationAsync");
      await stepAsync(memory, (base + HEADER_ROOT_OFFSET) / 4, seen);
    }
  } finally {
    wasm.observe(base, -1);
  }
}

function checkWait(
  thread: Thread,
  generation: number,
  options: GenerationOptions,
): { asId: number; timeout: number } {
  if (typeof generation !== "number" || Number.isNaN(generation)) {
    throw new TypeError(`generation must be a number, not ${show(generation)}`);
  }
  checkOptionNames<GenerationOptions>(options, { timeout: true, asId: true });
  const { timeout, asId = 0 } = options;
  thread.checkAsId(asId);
  return { asId, timeout: checkTimeout(timeout) };
}

function generationError(op: string): KvmError {
  return new KvmError(-ERRNO.ETIMEDOUT, op, { reason: "the generation was not reached in time" });
}
