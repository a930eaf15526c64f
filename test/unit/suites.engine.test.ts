import { MemslotEngine } from "memslots";
import { behaviourSuites } from "../suites/index.js";

for (const shared of [true, false]) {
  behaviourSuites(shared ? "engine" : "unshared engine", (options) =>
    MemslotEngine.create({ ...options, shared }),
  );
}
