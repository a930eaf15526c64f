/** Plain Node, from CommonJS. */
const assert = require("node:assert/strict");
const { KvmError, MemslotEngine } = require("memslots");
const { HVA_BAD } = require("memslots/uapi");
const { WHOLE } = require("./lists.js");

async function main() {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList(WHOLE);
  assert.equal(engine.gpaToHva(4096), 0x7000_1000);
  assert.equal(engine.gpaToHva(2 ** 40), HVA_BAD);
  assert.throws(
    () => engine.setUserMemoryRegion({ ...WHOLE[0], slot: 9 }),
    (error) => error instanceof KvmError && error.code === "EEXIST",
  );
}

main();
