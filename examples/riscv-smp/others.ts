/**
 * The work of other programs: what all processors did, less what this process did.
 */
import { cpus } from "node:os";

/** Milliseconds that the processors were not idle, since the computer started. */
function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

function ownMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Returns a function that tells how many processors others took from now to its call, on average. */
export function watchOthers(): () => number {
  const [start, busy, own] = [performance.now(), busyMs(), ownMs()];
  return () => Math.max(0, busyMs() - busy - (ownMs() - own)) / (performance.now() - start);
}
