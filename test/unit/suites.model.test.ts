import { ModelEngine } from "../model/memslots.js";
import { behaviourSuites } from "../suites/index.js";

/** The model scans all slots at every step, so that 32764 of them would take it too long. */
const MODEL_SLOTS_MAX = 8192;

behaviourSuites("model", async (options) => {
  const maxSlots = Math.min(options.maxSlots ?? 512, MODEL_SLOTS_MAX);
  return new ModelEngine({ ...options, maxSlots });
});
