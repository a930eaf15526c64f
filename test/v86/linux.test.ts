/** The kernel of Debian's installer boots to user space, and a program there sees the window move. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { linux, missing } from "../../examples/v86/boots.js";
import { MOVE_SCENARIO } from "../../examples/v86/scenarios.js";

const reason = missing(linux);

test("Linux user space sees a window made, written and moved", async () => {
  if (reason !== undefined) {
    console.log(`skipped: ${reason}`);
    return;
  }
  assert.is(await MOVE_SCENARIO.run(linux, "memslots"), MOVE_SCENARIO.seen.memslots);
});

test.run();
