/** The behaviour suites on both builds of the engine; run.ts starts it in one runtime after the other. */
import { MemslotEngine } from "memslots";
import { behaviourSuites } from "../suites/index.js";

for (const shared of [true, false]) {
  behaviourSuites(shared ? "engine" : "unshared engine", (options) =>
    MemslotEngine.create({ ...options, shared }),
  );
}
