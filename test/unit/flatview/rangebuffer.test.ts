/** A buffer of ranges, edited in place, against an array: over chunk borders, at both ends, and down to one range. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RangeBuffer } from "../../../src/flatview/rangelist.js";
import { random } from "../../support/random.js";

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
console.log(`seed ${SEED}`);

interface Span {
  readonly start: number;
  readonly end: number;
}

const BOUNDS = { start: ({ start }: Span) => start, end: ({ end }: Span) => end };

test("what is painted over a buffer is what is painted over an array", () => {
  const { int, chance } = random(SEED);
  for (let round = 0; round < 40; round++) {
    const buffer = new RangeBuffer<Span, number>(BOUNDS);
    let spans: Span[] = [];
    const room = 2 ** (4 + int(12));
    for (let step = 0; step < 600; step++) {
      const start = int(room);
      const end = start + 1 + int(chance(0.02) ? room : 3);
      const met = spans.filter((span) => span.start <= end && span.end >= start);
      const run = buffer.within(start, end, true);
      assert.equal(run.items, met);
      const union = {
        start: Math.min(start, ...met.map((span) => span.start)),
        end: Math.max(end, ...met.map((span) => span.end)),
      };
      buffer.replace(run, met.length, union);
      spans = [...spans.filter((span) => !met.includes(span)), union].sort((a, b) => a.start - b.start);
    }
    assert.equal(buffer.items(), spans);
  }
});

test.run();
