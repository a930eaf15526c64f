/** The test page: runs the scenario that the test names. */
import { ALONE_SCENARIOS, type Facts, ISOLATED_SCENARIOS } from "./scenarios.js";

export type Answer = { readonly facts: Facts } | { readonly error: string };

function told(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { details } = error as { details?: unknown };
  return [error.stack ?? error.message, ...(details ? [String(details)] : [])].join("\n");
}

const SCENARIOS = crossOriginIsolated ? ISOLATED_SCENARIOS : ALONE_SCENARIOS;

async function runScenario(name: string): Promise<Answer> {
  try {
    return { facts: await SCENARIOS[name]!() };
  } catch (error) {
    return { error: told(error) };
  }
}

Object.assign(globalThis, { runScenario });
