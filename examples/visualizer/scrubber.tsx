/** The commits of a timeline as a slider, over a profile of the memory that each makes vanish one by one. */
import { sizeText } from "../../src/replay/format.js";
import type { PlayerState } from "./player.js";

const HEIGHT = 44;
/** The profile's scale: nothing, one page, and the whole memory of a large machine. */
const LOG_MIN = 11;
const LOG_MAX = 33;

function heightOf(bytes: number): number {
  if (bytes === 0) return 0;
  return 3 + ((HEIGHT - 3) * (Math.log2(bytes) - LOG_MIN)) / (LOG_MAX - LOG_MIN);
}

export function Scrubber({ state, seek }: { state: PlayerState; seek: (step: number) => void }) {
  const { timeline, step } = state;
  const { steps } = timeline;
  const count = Math.max(1, steps.length);
  const where =
    step === 0
      ? `before ${steps[0]?.name ?? "all"}`
      : `after ${steps[step - 1]!.name}, ${step} of ${steps.length}`;
  return (
    <div class="scrubber">
      <svg class="profile" viewBox={`0 0 ${count} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {steps.map(({ name, hole }, index) => {
          const height = Math.max(1.5, heightOf(hole.bytes));
          return (
            <rect
              key={index}
              class={`${hole.bytes > 0 ? "hole" : "none"}${index < step ? " past" : ""}`}
              x={index + 0.22}
              width={0.56}
              y={HEIGHT - height}
              height={height}
            >
              <title>{`${name}: ${hole.bytes > 0 ? sizeText(hole.bytes) : "nothing"} missing one by one`}</title>
            </rect>
          );
        })}
      </svg>
      <input
        type="range"
        min={0}
        max={steps.length}
        step={1}
        value={step}
        aria-label="Commits"
        aria-valuetext={where}
        onInput={(event) => seek(Number(event.currentTarget.value))}
      />
      <p class="scale">
        <span>{where}</span>
        <span class="quiet">bars: the most that vanishes in a commit, one by one</span>
      </p>
    </div>
  );
}
