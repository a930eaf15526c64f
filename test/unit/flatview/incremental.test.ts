/**
 * A commit that flattens and plans only what edits have touched, against all of it anew, over random histories: the
 * same slots, windows and ranges, by a list as short; the painter agrees; listeners are told the same. With refused
 * commits, rollbacks, changes by others, views that are exchanged, and several spaces with parts of one tree.
 *
 * `EDITS=100000 node --import tsx test/unit/flatview/incremental.test.ts` is the long form.
 */
import { KvmError, MemslotEngine, type Slot } from "memslots";
import { FlatView, FlatViews, MemoryRegion, type MemorySection } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { mappingOf } from "../../../src/flatview/mapping.js";
import { planList } from "../../../src/flatview/plan.js";
import { SlotNumbers } from "../../../src/flatview/slotnumbers.js";
import { checkInvariants } from "../../support/invariants.js";
import { type Random, random } from "../../support/random.js";
import { paint, RegionWorld, SPAN } from "../../support/regionworld.js";

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const EDITS = Number(process.env.EDITS ?? 4000);
const EDITS_OF_A_TREE = 60;
/** Of 256-byte pages: parts, and whole ones. */
const UNITS = [64, 128, 256, 256] as const;
const LIMITS = { pageShift: 8, maxPhysAddrBits: 20 };
const SPACES = 2;

/** A listener that keeps a map of what it is told. */
class Mirror {
  readonly ranges = new Map<bigint, string>();
  told = 0;

  regionAdd(section: MemorySection): void {
    assert.not.ok(this.ranges.has(section.gpa), "nothing is added where something is");
    this.ranges.set(section.gpa, show(section));
    this.told++;
  }

  regionDel(section: MemorySection): void {
    assert.is(this.ranges.get(section.gpa), show(section));
    this.ranges.delete(section.gpa);
    this.told++;
  }
}

function show({ gpa, size, name, offset, readonly }: Omit<MemorySection, "asId">): string {
  return `${gpa} ${size} ${name} ${offset} ${readonly}`;
}

function shown(view: FlatView): string[] {
  return view.ranges.map(({ start, size, region, offset, readonly }) =>
    [start, size, region.name, offset, readonly].join(" "),
  );
}

/** An engine whose lists are kept. */
async function world(rng: Random) {
  const engine = await MemslotEngine.create({ ...LIMITS, addressSpaces: SPACES, maxListEntries: 2048 });
  const lists: (readonly Slot[])[] = [];
  const commit = engine.setUserMemoryRegionList.bind(engine);
  engine.setUserMemoryRegionList = (list, options) => {
    lists.push(list as readonly Slot[]);
    return commit(list, options);
  };
  const views = new FlatViews(engine);
  const unit = rng.pick(UNITS);
  const tree = new RegionWorld(rng, unit);
  const behind = MemoryRegion.container("behind", 2n ** 64n);
  behind.addSubregion(17 * unit, MemoryRegion.alias("all", tree.root, 5 * unit, SPAN * unit));
  return { engine, lists, views, tree, roots: [tree.root, behind], bytes: 2 * SPAN * unit };
}

const bare = ({ guestPhysAddr, memorySize, userspaceAddr, flags }: Slot) => ({
  guestPhysAddr,
  memorySize,
  userspaceAddr,
  flags,
});

test(`incremental commits equal flattening anew, ${EDITS} edits (SEED=${SEED})`, async () => {
  console.log(`seed ${SEED}`);
  const rng = random(SEED);
  let edits = 0;
  const counts = { commits: 0, refused: 0, rolledBack: 0, entries: 0 };
  while (edits < EDITS) {
    const { engine, lists, views, tree, roots, bytes } = await world(rng);
    const protects = roots.map(() => rng.chance(0.5));
    const mirrors = roots.map(() => new Mirror());
    roots.forEach((root, asId) => {
      views.set(root, { asId, protectSections: protects[asId] });
      views.addListener(mirrors[asId]!, { asId });
    });
    const where = () => `SEED=${SEED} edit ${edits}`;
    const anew = (asId: number) => {
      const view = FlatView.of(roots[asId]!);
      // The same class, of src/ and of dist/.
      return { view, ...mappingOf(view as never, { ...LIMITS, protectSections: protects[asId]! }) };
    };
    const check = () => {
      roots.forEach((root, asId) => {
        const { view, slots, windows } = anew(asId);
        assert.equal(engine.slots(asId).map(bare), slots, where());
        assert.equal(engine.windows(asId), windows, where());
        const told = [...mirrors[asId]!.ranges]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([, range]) => range);
        assert.equal(told, shown(view), where());
        for (let n = 0; n < 8; n++) {
          const at = BigInt(rng.int(bytes));
          const answer = paint(root, at);
          const range = view.find(at);
          assert.is(range?.region, answer?.region, `${where()} byte ${at}`);
          assert.is(range && range.offset + (at - range.start), answer?.offset, `${where()} byte ${at}`);
        }
      });
    };
    check();
    for (const end = Math.min(edits + EDITS_OF_A_TREE, EDITS); edits < end; ) {
      // Some edits are outside of transactions; the next commit takes them along.
      if (rng.chance(0.2)) {
        tree.tryEdit();
        edits++;
      }
      const before = roots.map((_, asId) => engine.slots(asId));
      views.begin();
      for (let n = rng.int(5); n > 0; n--, edits++) tree.tryEdit();
      if (rng.chance(0.1)) {
        views.rollback();
        counts.rolledBack++;
        continue;
      }
      if (rng.chance(0.15)) {
        // A slot of the user where the view has nothing yet: what comes there is refused.
        const after = anew(0).slots.find(({ guestPhysAddr }) => engine.gpaToHvaRead(guestPhysAddr) < 0);
        if (after !== undefined) {
          const users = { slot: 500, flags: 0, guestPhysAddr: after.guestPhysAddr, memorySize: 256 };
          engine.setUserMemoryRegion({ ...users, userspaceAddr: 0 });
          assert.throws(
            () => views.commit(),
            (error: unknown) => error instanceof KvmError && error.code === "EEXIST",
          );
          counts.refused++;
          engine.setUserMemoryRegion({ ...users, memorySize: 0, userspaceAddr: 0 });
          views.begin();
        }
      }
      views.commit();
      counts.commits++;
      counts.entries += lists.at(-1)!.length;
      const shortest = before.map(
        (slots, asId) => planList(slots, anew(asId).slots, asId, new SlotNumbers(512)).list.length,
      );
      assert.is(lists.at(-1)!.length, shortest[0]! + shortest[1]!, `${where()}: the shortest list`);
      check();
      if (rng.chance(0.03)) {
        // Somebody else takes a slot away, or changes its flags, or the windows: the next commit puts it right.
        const [slot] = engine.slots(0);
        const other = rng.int(3);
        if (slot !== undefined && other === 0) engine.setUserMemoryRegion({ ...slot, memorySize: 0 });
        if (slot !== undefined && other === 1) engine.setUserMemoryRegion({ ...slot, flags: slot.flags ^ 1 });
        if (other === 2) engine.setUserMemoryRegionList([], { windows: [[]] });
        views.begin();
        views.commit();
        check();
      }
      if (rng.chance(0.02)) {
        protects[1] = !protects[1];
        views.set(roots[1]!, { asId: 1, protectSections: protects[1] });
        check();
        views.set(FlatView.of(roots[1]!), { asId: 1, protectSections: protects[1] });
        check();
        views.set(roots[1]!, { asId: 1, protectSections: protects[1] });
        check();
      }
    }
    checkInvariants(engine);
    engine.close();
  }
  console.log(
    `${counts.commits} commits with ${counts.entries} entries, ${counts.refused} refused, ` +
      `${counts.rolledBack} rolled back`,
  );
  assert.ok(counts.refused > 0 && counts.rolledBack > 0 && counts.entries > counts.commits / 8);
});

test.run();
