/** A worker that runs the machine, with vCPUs in workers of its own, and the page at rest. */
import type { DEATH } from "./death.js";
import type { GATE } from "./gate.js";
import { LISTS } from "./lists.js";
import { Remote } from "./remote.js";
import type { Facts } from "./scenarios.js";
import { newWords } from "./words.js";

function inWorker(name: string): () => Promise<Facts> {
  return async () => {
    const machine = await Remote.start(newWords());
    const facts = await machine.run("scenario", name);
    machine.terminate();
    return facts;
  };
}

/** Those that do not rest on the sync forms giving up at once. */
const NAMES = [
  Object.keys(LISTS)[0]!,
  ...([
    "terminated inside a section",
    "terminated with the gate closed",
    "terminated young",
  ] satisfies (keyof typeof DEATH)[]),
  ...(["waitGenerationAsync"] satisfies (keyof typeof GATE)[]),
];

export const NESTED = Object.fromEntries(NAMES.map((name) => [`in a worker: ${name}`, inWorker(name)]));
