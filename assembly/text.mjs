/**
 * The wasm as text inside the package's JavaScript. Base64 hides the bytes' borders from gzip and costs a third; this
 * costs 2 %. One character per byte below 91, two for the others, all of them printable ASCII that needs no escape, so
 * that no server's charset and no bundler can spoil it. src/wasm/text.ts reads it.
 */

/** Printable ASCII without the quote, the backslash, and the two marks. */
const DIGITS = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).filter(
  (c) => !'"\\}~'.includes(c),
);

/** Bytes as text. */
export function encodeText(bytes) {
  const marks = ["", "~", "}"];
  return Array.from(bytes, (byte) => marks[Math.floor(byte / 91)] + DIGITS[byte % 91]).join("");
}

function lebOf(value) {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...lebOf(value >>> 7)];
}

/** Bytes that must be the same again before an edit counts as over. */
const RESYNC = 5;
/** Longest edit. */
const EDIT_MAX = 4096;

function commonLength(a, i, b, j, max) {
  let length = 0;
  while (length < max && i + length < a.length && j + length < b.length && a[i + length] === b[j + length])
    length++;
  return length;
}

/** The shortest pair of lengths to pass over, in `from` at `i` and in `to` at `j`, until both agree again. */
function shortestEdit(from, i, to, j) {
  for (let both = 0; both <= EDIT_MAX; both++) {
    for (let dropped = 0; dropped <= both; dropped++) {
      const [x, y] = [i + dropped, j + both - dropped];
      if (x > from.length || y > to.length) continue;
      const same = commonLength(from, x, to, y, RESYNC);
      if (same === RESYNC || (x + same === from.length && y + same === to.length))
        return [dropped, both - dropped];
    }
  }
  throw new Error(`the two differ for more than ${EDIT_MAX} bytes at ${i}`);
}

/** What turns `from` into `to`: {bytes to keep, bytes to drop, bytes to insert, these bytes}, lengths as LEB128. */
export function editsBetween(from, to) {
  const edits = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const kept = commonLength(from, i, to, j, from.length);
    const [dropped, inserted] = shortestEdit(from, i + kept, to, j + kept);
    i += kept + dropped;
    j += kept + inserted;
    edits.push(...lebOf(kept), ...lebOf(dropped), ...lebOf(inserted), ...to.subarray(j - inserted, j));
  }
  return edits;
}
