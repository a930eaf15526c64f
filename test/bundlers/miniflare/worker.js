/** A worker of workerd: a clone of its engine translates, and says what this runtime lacks. */
import { cloneEngine, MemslotEngine } from "memslots";
import { WHOLE } from "./lists.js";

export default {
  async fetch() {
    const engine = await MemslotEngine.create();
    engine.setUserMemoryRegionList(WHOLE);
    const clone = await cloneEngine(engine);
    return Response.json({ hva: clone.gpaToHva(0x1234), capabilities: clone.capabilities });
  },
};
