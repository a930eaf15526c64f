/**
 * Real guests on the map: our own firmware, and SeaBIOS. What they see with v86's own map is checked too: it
 * is what the map is for.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { missing, ownFirmware, seaBios } from "../../examples/v86/boots.js";
import { SCENARIOS } from "../../examples/v86/scenarios.js";

for (const boot of [ownFirmware, seaBios]) {
  const reason = missing(boot);
  if (reason !== undefined) {
    console.log(`skipped: ${reason}`);
    continue;
  }
  for (const { what, run, seen } of SCENARIOS) {
    for (const whose of ["memslots", "v86"] as const) {
      test(`${boot.name}, map of ${whose}: ${what}`, async () => {
        assert.is(await run(boot, whose), seen[whose]);
      });
    }
  }
}

test.run();
