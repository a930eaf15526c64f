/** The vCPUs at the edge of the active layout, each at its last lookup; one that missed there is crossed out. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Fold } from "../../src/map/fold.js";
import type { Board, Reading } from "./board.js";

/** Milliseconds between two frames: the eye follows no faster jumps. */
const FRAME_MS = 90;
const FRAME_MS_REDUCED = 500;

export interface Seen {
  readonly gpa: number;
  readonly missed: boolean;
}

function missesOf({ counts }: Reading): number {
  return counts.oneByOne.misses + counts.list.misses;
}

/** Call `take` in frames, at most once per interval, while the component is mounted. */
export function useFrames(take: () => void, ms: number): void {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const wait = matchMedia("(prefers-reduced-motion: reduce)").matches ? Math.max(ms, FRAME_MS_REDUCED) : ms;
    let last = 0;
    let frame = requestAnimationFrame(function next(now) {
      frame = requestAnimationFrame(next);
      if (now - last < wait) return;
      last = now;
      latest.current();
    });
    return () => cancelAnimationFrame(frame);
  }, [ms]);
}

export function Readers({ board, fold, x, to }: { board: Board; fold: Fold; x: number; to: number }) {
  const before = useRef<number[]>([]);
  const [seen, setSeen] = useState<readonly Seen[]>([]);
  useFrames(() => {
    const readings = Array.from({ length: board.buffers.vcpus }, (_, vcpu) => board.reading(vcpu));
    const misses = readings.map(missesOf);
    setSeen(
      readings.map(({ gpa, missedGpa }, vcpu) => {
        const missed = misses[vcpu]! > (before.current[vcpu] ?? misses[vcpu]!);
        return { gpa: missed ? missedGpa : gpa, missed };
      }),
    );
    before.current = misses;
  }, FRAME_MS);
  return (
    <g class="readers">
      {seen.map(({ gpa, missed }, vcpu) => (
        <g
          key={vcpu}
          class={missed ? "reader miss" : "reader"}
          style={`transform:translate(0,${fold.place(gpa)}px)`}
        >
          <line x1={x + 9} x2={to} y1={0} y2={0} />
          <circle cx={x + 6} cy={0} r={6.5} />
          <text x={x + 6} y={3.5} class="middle">
            {missed ? "×" : vcpu}
          </text>
        </g>
      ))}
    </g>
  );
}
