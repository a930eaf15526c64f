/** All scenarios by name: those of a page that is cross-origin isolated, and those of one that is not. */
import { ALONE } from "./alone.js";
import { BEHAVIOUR } from "./behaviour.js";
import { BLOCKING } from "./blocking.js";
import { DEATH } from "./death.js";
import { GAME_BOY } from "./gameboy.js";
import { GATE } from "./gate.js";
import { LISTS } from "./lists.js";
import { MEMORY } from "./memory.js";
import { NESTED } from "./nested.js";

/** Measurements of a scenario. */
export type Facts = Readonly<Record<string, string | number | boolean>>;

export type Scenarios = Readonly<Record<string, () => Promise<Facts>>>;

export const ISOLATED_SCENARIOS: Scenarios = {
  ...BEHAVIOUR,
  ...LISTS,
  ...BLOCKING,
  ...DEATH,
  ...GATE,
  ...MEMORY,
  ...NESTED,
  ...GAME_BOY,
};

/** Enough to load everything, start workers and end them, under a policy that forbids to run text. */
export const STRICT_SCENARIOS: Scenarios = { ...MEMORY, ...GATE, ...GAME_BOY };

export const ALONE_SCENARIOS: Scenarios = { ...BEHAVIOUR, ...ALONE, ...GAME_BOY };
