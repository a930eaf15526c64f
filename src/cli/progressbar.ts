/** A bar on standard error for work that a person waits for; none where standard error is no terminal. */
import { type Options, Presets, SingleBar } from "cli-progress";
import type { ProgressSteps } from "../replay/probing.js";

const OPTIONS: Options = {
  format: "  {bar} {value}/{total} {unit}  {what}",
  clearOnComplete: true,
  hideCursor: true,
  barsize: 32,
  // A call per step is enough of a beat for work that never gives the event loop a turn.
  synchronousUpdate: true,
  noTTYOutput: false,
};

const NONE: ProgressSteps = { begin() {}, step() {}, end() {} };

export function progressBar(stream: NodeJS.WriteStream): ProgressSteps {
  if (!stream.isTTY) return NONE;
  const bar = new SingleBar({ ...OPTIONS, stream }, Presets.shades_classic);
  return {
    begin: (total, unit, what) => bar.start(total, 0, { unit, what }),
    step: () => bar.increment(),
    end: () => bar.stop(),
  };
}
