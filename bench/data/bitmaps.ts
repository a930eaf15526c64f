/** Dirty bitmaps in plain TypeScript, as yardsticks, and seeded pages to mark in them. */
import { random } from "../../test/support/random.js";

export const PAGE = 4096;
const SEED = 20;

/** A bitmap of `pages` pages: in separate memory, or `shared` with other threads as the engine's are. */
export function createWords(pages: number, shared: boolean): Uint32Array {
  return new Uint32Array(shared ? new SharedArrayBuffer(pages / 8) : new ArrayBuffer(pages / 8));
}

export function markWords(words: Uint32Array, gpas: Float64Array): void {
  for (let i = 0; i < gpas.length; i++) {
    const page = gpas[i]! / PAGE;
    words[page >>> 5]! |= 1 << (page & 31);
  }
}

export function markAtomics(words: Uint32Array, gpas: Float64Array): void {
  for (let i = 0; i < gpas.length; i++) {
    const page = gpas[i]! / PAGE;
    Atomics.or(words, page >>> 5, 1 << (page & 31));
  }
}

/** Write the numbers of the bits set, and clear them. @returns how many there were */
export function harvestWords(words: Uint32Array, pages: Uint32Array): number {
  let count = 0;
  for (let i = 0; i < words.length; i++) {
    let bits = words[i]!;
    if (bits === 0) continue;
    words[i] = 0;
    for (; bits !== 0; bits &= bits - 1) pages[count++] = i * 32 + 31 - Math.clz32(bits & -bits);
  }
  return count;
}

/** The same while another thread may mark. */
export function harvestAtomics(words: Uint32Array, pages: Uint32Array): number {
  let count = 0;
  for (let i = 0; i < words.length; i++) {
    if (Atomics.load(words, i) === 0) continue;
    let bits = Atomics.exchange(words, i, 0);
    for (; bits !== 0; bits &= bits - 1) pages[count++] = i * 32 + 31 - Math.clz32(bits & -bits);
  }
  return count;
}

/** The same, a page at a time. */
export function harvestBits(words: Uint32Array, pages: Uint32Array): number {
  let count = 0;
  for (let page = 0; page < words.length * 32; page++) {
    if ((words[page >>> 5]! & (1 << (page & 31))) !== 0) pages[count++] = page;
  }
  words.fill(0);
  return count;
}

/** Random pages, each once. */
export function randomPages(pages: number, count: number): Uint32Array {
  const rng = random(SEED);
  const all = Uint32Array.from({ length: pages }, (_, page) => page);
  for (let i = 0; i < count; i++) {
    const j = i + rng.int(pages - i);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all.slice(0, count);
}

/** Guest addresses of random pages; a page may occur more than once. */
export function randomGpas(pages: number, count: number): Float64Array {
  const rng = random(SEED);
  return Float64Array.from({ length: count }, () => rng.int(pages) * PAGE);
}
