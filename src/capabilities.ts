/**
 * What the runtime allows: threads in WebAssembly, memory that workers share, sleeping. And, where it does not, the
 * sentence that says what is missing.
 */
import { canBlock } from "./waiting.js";

/** Which build of the core: with atomic instructions for shared memory, or without any. */
export type Build = "shared" | "unshared";

/** What an engine can do in this runtime; `engine.capabilities`. */
export interface EngineCapabilities {
  /** Build of the core in use. "unshared": one thread, plain memory accesses. */
  readonly build: Build;
  /** The runtime knows WebAssembly's atomic instructions; without them the build is "unshared". */
  readonly wasmThreads: boolean;
  /** Workers can attach to this engine. */
  readonly sharing: boolean;
  /** This thread may sleep: false on a browser's page, which has `setUserMemoryRegionListAsync`. */
  readonly blocking: boolean;
  /** Why `sharing` is false; not there if it is true. */
  readonly reason?: string;
}

/** A module with a shared memory of one page and one atomic load from it. */
const THREADS_PROBE = [
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1],
  ...[10, 11, 1, 9, 0, 65, 0, 254, 16, 2, 0, 26, 11],
];

/** The smallest module. */
const EMPTY_MODULE = [0, 97, 115, 109, 1, 0, 0, 0];

const NO_THREADS = "this runtime has no threads in WebAssembly";
const NOT_ISOLATED =
  "the page is not cross-origin isolated: serve it with the headers " +
  '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp"';

/** True if the runtime knows the atomic instructions. */
export function hasWasmThreads(): boolean {
  return typeof WebAssembly !== "undefined" && WebAssembly.validate(new Uint8Array(THREADS_PROBE));
}

/** Why this thread cannot share memory with others; undefined if it can. */
export function whyNotSharing(): string | undefined {
  if (!hasWasmThreads()) return NO_THREADS;
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  return typeof SharedArrayBuffer === "undefined" || isolated === false ? NOT_ISOLATED : undefined;
}

/** @throws Error that tells what `what` lacks if this thread cannot share memory with others */
export function requireSharing(what: string): void {
  const reason = whyNotSharing();
  if (reason !== undefined) throw new Error(`${what} is not possible: ${reason}`);
}

/** True if any module can be compiled; a page's policy may forbid it. */
export async function canCompile(): Promise<boolean> {
  try {
    await WebAssembly.compile(new Uint8Array(EMPTY_MODULE));
    return true;
  } catch {
    return false;
  }
}

/** `engine.capabilities` of an engine on this build. */
export function capabilitiesOf(build: Build): EngineCapabilities {
  const reason =
    build === "shared" ? whyNotSharing() : (whyNotSharing() ?? "the engine's memory is not shared");
  return {
    build,
    wasmThreads: hasWasmThreads(),
    sharing: reason === undefined,
    blocking: canBlock(),
    ...(reason === undefined ? {} : { reason }),
  };
}
