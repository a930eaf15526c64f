/** docs/limits.md: its numbers are those of the code. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as map from "../../../src/core/layout.js";
import { PROCESSORS_MAX } from "../../../src/core/options.js";
import { KVM_MEM_MAX_NR_PAGES, TASK_SIZE_MAX } from "../../../src/kvm/uapi.js";
import { TIMEOUT_MS } from "../../../src/write/commitoptions.js";

const rows = readFileSync(new URL("../../../docs/limits.md", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| "))
  .map((line) => line.split("|").map((cell) => cell.trim()));

const LIMITS: Readonly<Record<string, string | number>> = {
  "address spaces": map.ADDRESS_SPACES_MAX,
  "slots of an address space": map.SLOTS_MAX,
  "vCPUs at a time": map.VCPUS_MAX,
  "entries of a list, windows of an address space": map.LIST_ENTRIES_MAX,
  "bytes of a page, as a power of two": `${map.PAGE_SHIFT_MIN} to ${map.PAGE_SHIFT_MAX}`,
  "width of a guest address, in bits": map.PHYS_ADDR_BITS_MAX,
  "width of a host address, in bits": `${map.USER_ADDR_BITS_MIN} to ${map.USER_ADDR_BITS_MAX}`,
  "pages of a slot": KVM_MEM_MAX_NR_PAGES,
  "end of host memory": `0x${TASK_SIZE_MAX.toString(16)}`,
  "bytes of a guest_memfd": 2 ** 53,
  "dirty consumers": map.CONSUMERS_MAX,
  "bytes of a dirty ring": `${map.RING_BYTES_MIN} to ${map.RING_BYTES_MAX}`,
  "entries of a TLB": `${map.TLB_ENTRIES_MIN} to ${map.TLB_ENTRIES_MAX}`,
  "sections inside one another": 2 ** map.DEPTH_BITS - 1,
  "layouts alive at once": map.ROOTS,
  "engine instances in one thread that know each other": map.OWNERS_PER_THREAD,
  processors: PROCESSORS_MAX,
  "threads that ever attach": 2 ** 32 / map.OWNERS_PER_THREAD - 1,
};

test("every constant is in the table as it is", () => {
  for (const [what, limit] of Object.entries(LIMITS)) {
    const row = rows.find(([, name]) => name === what);
    assert.ok(row, what);
    assert.is(row![2], String(limit), what);
  }
  const waits = rows.find(([, name]) => name === "milliseconds to wait")!;
  assert.match(waits[3]!, new RegExp(`${TIMEOUT_MS} if not given`));
});

test.run();
