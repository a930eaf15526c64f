/** Every benchmark with tiny sizes: all competitors must agree; times are not reported. */

import { type CaseResult, Results, type Row } from "./harness/case.js";
import { loadGroups, smokeScale } from "./harness/groups.js";
import { measureCase } from "./harness/measure.js";

/** Run all groups. @throws Error naming the competitors that disagree */
export async function smoke(): Promise<{ cases: CaseResult[]; rows: Row[] }> {
  const groups = await loadGroups();
  const cases: CaseResult[] = [];
  for (const group of groups) {
    for (const one of group.cases(smokeScale)) cases.push(await measureCase(one, { smoke: true }));
  }
  const results = new Results(cases);
  return { cases, rows: groups.flatMap((group) => group.rows(results, smokeScale)) };
}
