/** What the clock of this process can tell apart. */

let tickMs = 0;

/** Least difference of two readings of the clock, in milliseconds. */
export function clockTickMs(): number {
  for (let i = 0; tickMs === 0 || i < 100; i++) {
    const start = performance.now();
    let ms = 0;
    while (ms === 0) ms = performance.now() - start;
    tickMs = tickMs === 0 ? ms : Math.min(ms, tickMs);
  }
  return tickMs;
}
