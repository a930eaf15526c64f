/**
 * Which of the measured figures are failures.
 */
import type { Measured } from "./measure.js";
import type { Scenario } from "./scenario.js";

/** One line for each figure that must not be. */
export function failuresOf(scenarios: readonly Scenario[], results: readonly Measured[]): string[] {
  return results.flatMap((result) => {
    const name = `${result.scenario}, ${result.way}`;
    const scenario = scenarios.find(({ id }) => id === result.scenario);
    if (result.way === "one by one") {
      const shown = result.noMemory > 0 || scenario?.losesOneByOne !== true;
      return shown ? [] : [`${name}: no access found no memory, the defect was not reproduced`];
    }
    const found = result.findings.filter(({ count }) => count > 0);
    return [
      ...(result.noMemory > 0 ? [`${name}: ${result.noMemory} accesses found no memory`] : []),
      ...(result.wrong > 0 ? [`${name}: ${result.wrong} accesses or layouts were wrong`] : []),
      ...found.map(({ what, count }) => `${name}: ${count} ${what}`),
    ];
  });
}
