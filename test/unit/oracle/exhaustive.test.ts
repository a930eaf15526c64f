/**
 * All lists over four pages and three slots, engine against model; after each, every lookup, dirty bit and
 * generation is compared, with the model after a success and with the state before after a refusal.
 *
 * One entry: from every layout with every choice of flags. Two entries: every pair from a few layouts. Three
 * entries: every triple of a smaller alphabet from the same.
 */
import { MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { UserspaceMemoryRegion } from "../../../src/kvm/uapi.js";
import { ModelEngine } from "../../model/memslots.js";
import type { Create } from "../../support/implementation.js";
import { Lockstep } from "../../support/lockstep.js";
import { ENTRIES, FEW_ENTRIES, FEW_LAYOUTS, LAYOUTS } from "../../support/smallworld.js";

const engine: Create = (options) => MemslotEngine.create(options);
const model: Create = async (options) => new ModelEngine(options);

const test = suite("exhaustive");

function exhaust(
  what: string,
  layouts: UserspaceMemoryRegion[][],
  alphabet: UserspaceMemoryRegion[],
  length: number,
): void {
  const lists = (entries: UserspaceMemoryRegion[]): UserspaceMemoryRegion[][] =>
    entries.length === length ? [entries] : alphabet.flatMap((entry) => lists([...entries, entry]));
  test(what, async () => {
    const lockstep = await Lockstep.create(engine, model);
    for (const layout of layouts) for (const list of lists([])) lockstep.run(layout, list);
    const { accepted, refused, acceptedOneByOne } = lockstep.tally;
    assert.is(accepted + refused, layouts.length * alphabet.length ** length);
    assert.ok(accepted >= acceptedOneByOne);
    if (length > 1) assert.ok(accepted > acceptedOneByOne, "some succeed as a list alone");
  });
}

exhaust("the empty list from every layout", LAYOUTS, ENTRIES, 0);
exhaust("one entry from every layout", LAYOUTS, ENTRIES, 1);
exhaust("two entries from a few layouts", FEW_LAYOUTS, ENTRIES, 2);
exhaust("three entries from a few layouts", FEW_LAYOUTS, FEW_ENTRIES, 3);

test.run();
