/**
 * Which thread this is, and whether another one still lives, without an event loop: a writer that sleeps sees no 'exit'
 * event. Linux lists the threads of a process in /proc. Elsewhere nothing is known.
 */

/** One per thread, also for two copies of the package in it. */
const IDENTITY = /* @__PURE__ */ Symbol.for("memslots.thread");

interface NodeFs {
  existsSync(path: string): boolean;
  readlinkSync(path: string): string;
}

interface Runtime {
  process?: { getBuiltinModule?(name: string): NodeFs | undefined };
  /** Deno would ask its user for leave to read. */
  Deno?: unknown;
  [IDENTITY]?: number;
}

/** Number that no other thread has, above 0. */
export function threadIdentity(): number {
  const scope = globalThis as Runtime;
  let identity = scope[IDENTITY];
  if (identity === undefined) {
    identity = 1 + Math.floor(Math.random() * (2 ** 53 - 1));
    Object.defineProperty(scope, IDENTITY, { value: identity });
  }
  return identity;
}

let known: number | undefined;

/** The kernel's number of this thread; 0 where it cannot be told. */
export function kernelThread(): number {
  known ??= readKernelThread();
  return known;
}

function readKernelThread(): number {
  try {
    const thread = Number(filesystem()?.readlinkSync("/proc/thread-self").split("/").at(-1));
    return Number.isInteger(thread) && lives(thread) ? thread : 0;
  } catch {
    return 0;
  }
}

/** True if the kernel says that the thread of this number is gone. */
export function isGone(thread: number): boolean {
  // Its own thread lives: if that is not listed, the list says nothing.
  return thread !== 0 && !lives(thread) && kernelThread() !== 0 && lives(kernelThread());
}

function lives(thread: number): boolean {
  return filesystem()?.existsSync(`/proc/self/task/${thread}`) === true;
}

function filesystem(): NodeFs | undefined {
  const { process, Deno } = globalThis as Runtime;
  return Deno === undefined ? process?.getBuiltinModule?.("node:fs") : undefined;
}
