/** Decoder of the wasm that assembly/text.mjs wrote into the package as text. */

/** Decode a text: one byte per character; "~" and "}" before a character add 91 and 182. */
export function decodeText(text: string): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const mark = "~}".indexOf(text[i]!) + 1;
    if (mark > 0) i++;
    bytes.push(digitOf(text.charCodeAt(i)) + 91 * mark);
  }
  return new Uint8Array(bytes);
}

/** Apply edits {bytes to keep, bytes to drop, bytes to insert, these bytes}, with lengths as LEB128, to `from`. */
export function applyEdits(from: Uint8Array, edits: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  let source = 0;
  let at = 0;
  const length = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = edits[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < edits.length) {
    const kept = length();
    const dropped = length();
    const inserted = length();
    bytes.push(...from.subarray(source, source + kept), ...edits.subarray(at, at + inserted));
    source += kept + dropped;
    at += inserted;
  }
  return new Uint8Array(bytes);
}

/** Value of a character: its place among printable ASCII without the quote, the backslash, and the two marks. */
function digitOf(code: number): number {
  return code - 32 - (code > 34 ? 1 : 0) - (code > 92 ? 1 : 0);
}
