/**
 * What the system has given a thread: time on a processor, and time that it was ready and waited for one. The rest of
 * its life it slept. So a computer with other work does not hide what a thread does. Linux tells it, other systems do
 * not.
 */
import { existsSync, readFileSync, readlinkSync } from "node:fs";

export interface ThreadTime {
  readonly runningMs: number;
  readonly waitingMs: number;
}

const SELF = "/proc/thread-self";
const NS_PER_MS = 1e6;

/** A name of the calling thread for `threadTime`; undefined where the system does not tell its times. */
export function threadName(): string | undefined {
  return existsSync(`${SELF}/schedstat`) ? readlinkSync(SELF) : undefined;
}

/** Of a thread of this process that lives. */
export function threadTime(name: string): ThreadTime {
  const [running, waiting] = readFileSync(`/proc/${name}/schedstat`, "utf8").split(" ").map(Number);
  return { runningMs: running! / NS_PER_MS, waitingMs: waiting! / NS_PER_MS };
}
