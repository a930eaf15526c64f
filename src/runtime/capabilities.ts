/**
 * Capabilities of the runtime: threads in WebAssembly, memory that workers share, sleeping. For each that is missing
 * there is a sentence with the remedy.
 */
import { canBlock } from "./waiting.js";

/** A build of the core: with atomic instructions for shared memory, or without any. */
export type Build = "shared" | "unshared";

/** Capabilities of an engine in this runtime; see `engine.capabilities`. */
export interface EngineCapabilities {
  /** Build of the core in use. "unshared": one thread, plain memory accesses. */
  readonly build: Build;
  /** The runtime knows WebAssembly's atomic instructions; without them the build is "unshared". */
  readonly wasmThreads: boolean;
  /** Workers can attach to this engine. */
  readonly sharing: boolean;
  /** This thread may sleep; false on a browser's page: use `setUserMemoryRegionListAsync` there. */
  readonly blocking: boolean;
  /** Reason why `sharing` is false; absent if it is true. */
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

const NO_SHARED_MEMORY =
  "this runtime has no SharedArrayBuffer; WebKitGTK needs JSC_useSharedArrayBuffer=1 in its environment";

const NO_WORKERS = "workerd has no worker threads";

/** True if the runtime knows the atomic instructions. */
export function hasWasmThreads(): boolean {
  return typeof WebAssembly !== "undefined" && WebAssembly.validate(new Uint8Array(THREADS_PROBE));
}

/** Reason why this thread cannot share memory with others; undefined if it can. */
export function whyNotSharing(): string | undefined {
  if (!hasWasmThreads()) return NO_THREADS;
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  if ((globalThis as Runtime).navigator?.userAgent === "Cloudflare-Workers") return NO_WORKERS;
  if (typeof SharedArrayBuffer !== "undefined") return isolated === false ? NOT_ISOLATED : undefined;
  return isolated ? NO_SHARED_MEMORY : NOT_ISOLATED;
}

/** @throws Error with the reason if this thread cannot share memory with others, which `what` needs */
export function requireSharing(what: string): void {
  const reason = whyNotSharing();
  if (reason !== undefined) throw new Error(`${what} is not possible: ${reason}`);
}

interface NodeOs {
  availableParallelism(): number;
}

interface Runtime {
  process?: { getBuiltinModule?(name: string): NodeOs | undefined };
  navigator?: { hardwareConcurrency?: number; userAgent?: string };
}

/** Processors for the threads of this process or page; 1 where the runtime does not say. */
export function availableProcessors(): number {
  const { process, navigator } = globalThis as Runtime;
  return (
    process?.getBuiltinModule?.("node:os")?.availableParallelism?.() ?? navigator?.hardwareConcurrency ?? 1
  );
}

/** True if WebAssembly can be compiled; a page's policy may forbid it. */
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
