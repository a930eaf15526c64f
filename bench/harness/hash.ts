/** FNV-1a over the bytes of the doubles: eight hexadecimal digits. */
export function hashOf(answers: readonly number[]): string {
  let hash = 0x811c9dc5;
  for (const byte of new Uint8Array(Float64Array.from(answers).buffer)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, "0");
}
