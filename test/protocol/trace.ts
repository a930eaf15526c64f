/** A way through the states as text: who does what, and which shared words change by it. */
import type { Growing } from "./growing.js";
import { GATE, HALF_BUILT, HURRY, type Machine, ROOT_BITS } from "./machine.js";
import type { Model } from "./model.js";
import type { StateSet } from "./stateset.js";
import type { Thread } from "./thread.js";

const WHAT_COLUMNS = 66;

/** A value of the word called `name`. */
function show(threads: readonly Thread[], name: string, value: number): string {
  if (name === "lock" || name === "gateOwner" || name.startsWith("owner")) {
    return threads[value - 1]?.name ?? "nobody";
  }
  if (name.startsWith("free"))
    return `{${[...value.toString(2)]
      .reverse()
      .flatMap((bit, i) => (bit === "1" ? i + 1 : []))
      .join(" ")}}`;
  if (name === "root" && value & ROOT_BITS) {
    const bits = [value & GATE ? " + gate" : "", value & HURRY ? " + hurry" : ""];
    return `${value & ~ROOT_BITS}${bits.join("")}`;
  }
  if (value === HALF_BUILT) return "half-built";
  return String(value);
}

function changes(
  { names }: Machine,
  threads: readonly Thread[],
  before: Uint8Array,
  after: Uint8Array,
): string {
  const words = names.map((name, i) => {
    if (name === "" || name.startsWith("(") || before[i] === after[i]) return "";
    return `${name}: ${show(threads, name, before[i]!)} -> ${show(threads, name, after[i]!)}`;
  });
  return words.filter((word) => word !== "").join(", ");
}

/** The way to state `from`, and the action that is one too many, if there is one. */
export function traceOf(
  model: Model,
  states: StateSet,
  parents: Growing,
  causes: Growing,
  from: number,
  last: number | undefined,
): string[] {
  const { machine, threads } = model;
  const steps: [number, number][] = last === undefined ? [] : [[from, last]];
  for (let number = from; number !== 0; number = parents.get(number)) {
    steps.unshift([parents.get(number), causes.get(number)]);
  }
  return steps.map(([number, action]) => {
    states.get(number, model.state);
    const before = machine.bytes.slice();
    const what = model.describe(action);
    model.take(action);
    const changed = changes(machine, threads, before, machine.bytes);
    return changed === "" ? what : `${what.padEnd(WHAT_COLUMNS)}  ${changed}`;
  });
}
