import { expect, test } from "@jest/globals";
import { MemslotEngine } from "memslots";
import { MERGE, readAll, SPLIT, WHOLE } from "./lists.js";

test("lists under a vCPU", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList(WHOLE);
  const vcpu = engine.vcpu();
  for (const list of [SPLIT, MERGE]) {
    engine.setUserMemoryRegionList(list);
    expect(readAll(vcpu)).toEqual({ reads: 64, misses: 0 });
  }
});
