/** The worker of the page: measures lookup and swap at all sizes, and posts each result. */
import { entrants } from "../groups/js.js";
import { publicationEntrants, swapCase } from "../groups/publication.js";
import type { Case, CaseResult, Scale } from "../harness/case.js";
import { measureCase } from "../harness/measure.js";
import { binarySearch } from "../peers/typedarray.js";

/** Sizes and data of the page: some seconds for each case at a clock of some microseconds. */
const SCALE: Scale = {
  ...{ smoke: false, quick: true, sizes: [8, 64, 512, 4096], largest: 4096 },
  ...{ keys: 0, jsKeys: 16384, streams: 0, jsStreams: 8, updates: 1024 },
};
const UPDATES = [1, 16, 256];

/** What the page gets: a result, an error, or the end. */
export type PageMessage =
  | { readonly result: CaseResult; readonly left: number }
  | { readonly error: string }
  | { readonly done: true };

function cases(): Case[] {
  return [
    ...SCALE.sizes.map((n) => ({
      ...{ name: "lookup", n, unit: "lookup" },
      prepare: () => entrants(n, "uniform", SCALE, [binarySearch]),
    })),
    ...UPDATES.flatMap((updates) =>
      SCALE.sizes
        .filter((n) => updates * 2 <= n)
        .map((n) => ({
          ...{ name: swapCase(updates), n, unit: "list" },
          prepare: () => publicationEntrants(n, updates, SCALE.updates),
        })),
    ),
  ];
}

const post = (message: PageMessage): void => postMessage(message);

try {
  const all = cases();
  for (const [i, one] of all.entries()) {
    const result = await measureCase(one, { smoke: false, quick: true });
    post({ result, left: all.length - i - 1 });
  }
  post({ done: true });
} catch (error) {
  post({ error: String(error) });
}
