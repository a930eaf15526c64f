/**
 * The checks of an engine's header before a thread attaches. The stamp (magic number, layout hash) comes first and runs
 * no function of the handle's module, because the module of another version may have other functions. Then every
 * limit and every area: what is sized or indexed by them later must not be what a damaged memory says.
 */
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { Build } from "../runtime/capabilities.js";
import {
  ADDRESS_SPACES_MAX,
  HEADER_ADDRESS_SPACES_OFFSET,
  HEADER_BYTES,
  HEADER_CHUNK_COUNT_OFFSET,
  HEADER_CHUNKS_PER_DIRECTORY_OFFSET,
  HEADER_FIXED_BYTES_OFFSET,
  HEADER_GROWABLE_OFFSET,
  HEADER_LAYOUT_HASH_OFFSET,
  HEADER_MAGIC_OFFSET,
  HEADER_MAX_GFN_OFFSET,
  HEADER_MAX_LIST_ENTRIES_OFFSET,
  HEADER_MAX_PHYS_ADDR_BITS_OFFSET,
  HEADER_MAX_SLOTS_OFFSET,
  HEADER_MAX_USER_ADDR_BITS_OFFSET,
  HEADER_MAX_VCPUS_OFFSET,
  HEADER_PAGE_SHIFT_OFFSET,
  HEADER_READERS_OFFSET,
  HEADER_RECORD_COUNT_OFFSET,
  HEADER_RETIRED_CAPACITY_OFFSET,
  HEADER_ROOT_OFFSET,
  HEADER_ROOTS_OFFSET,
  HEADER_THREADS_OFFSET,
  LAYOUT_HASH,
  LIST_ENTRIES_MAX,
  MAGIC,
  PAGE_SHIFT_MAX,
  PAGE_SHIFT_MIN,
  PHYS_ADDR_BITS_MAX,
  ROOT_BITS,
  ROOT_BYTES,
  ROOTS,
  SLOTS_MAX,
  USER_ADDR_BITS_MAX,
  USER_ADDR_BITS_MIN,
  VCPUS_MAX,
} from "./layout.js";
import { isShared } from "./options.js";
import { BASE_ALIGN, modelHeader } from "./placement.js";

/** Field, name, least and largest value of a limit. */
type Limit = readonly [offset: number, name: string, min: number, max: number];
const limits = (): readonly Limit[] => [
  [HEADER_ADDRESS_SPACES_OFFSET, "addressSpaces", 1, ADDRESS_SPACES_MAX],
  [HEADER_MAX_SLOTS_OFFSET, "maxSlots", 1, SLOTS_MAX],
  [HEADER_MAX_VCPUS_OFFSET, "maxVcpus", 1, VCPUS_MAX],
  [HEADER_MAX_LIST_ENTRIES_OFFSET, "maxListEntries", 1, LIST_ENTRIES_MAX],
  [HEADER_PAGE_SHIFT_OFFSET, "pageShift", PAGE_SHIFT_MIN, PAGE_SHIFT_MAX],
  [HEADER_MAX_PHYS_ADDR_BITS_OFFSET, "maxPhysAddrBits", PAGE_SHIFT_MIN + 1, PHYS_ADDR_BITS_MAX],
  [HEADER_MAX_USER_ADDR_BITS_OFFSET, "maxUserAddrBits", USER_ADDR_BITS_MIN, USER_ADDR_BITS_MAX],
  [HEADER_GROWABLE_OFFSET, "growable", 0, 1],
];

/** Words among the areas that are counts, not addresses. */
const COUNTS = new Set([
  HEADER_RETIRED_CAPACITY_OFFSET,
  HEADER_CHUNKS_PER_DIRECTORY_OFFSET,
  HEADER_CHUNK_COUNT_OFFSET,
  HEADER_RECORD_COUNT_OFFSET,
]);

/** @throws Error if there is no engine in `memory` at `base`, or one of another version */
export function checkStamp(memory: WebAssembly.Memory, base: number): void {
  const bytes = memory.buffer.byteLength;
  if (base % BASE_ALIGN !== 0 || base + HEADER_BYTES > bytes) {
    throw new RangeError(
      `handle.base must be a multiple of ${BASE_ALIGN} inside the memory of ${bytes} bytes, not ${base}`,
    );
  }
  const words = new Uint32Array(memory.buffer, base, HEADER_BYTES / 4);
  const magic = words[HEADER_MAGIC_OFFSET / 4]!;
  const layout = words[HEADER_LAYOUT_HASH_OFFSET / 4]!;
  if (magic !== MAGIC) {
    throw new Error(`no engine at ${base}: the magic number is ${hex(magic)}, not ${hex(MAGIC)}`);
  }
  if (layout === LAYOUT_HASH) return;
  throw new Error(
    `the engine at ${base} is of another version of memslots: its layout is ${hex(layout)}, ` +
      `that of this version ${hex(LAYOUT_HASH)}; all threads must load the same version`,
  );
}

/** Where assembly/stamp.mjs writes the layout hash into a module. */
const SECTION = "memslots";

/** @throws Error if a compiled build of the core is that of another version */
export function checkModule(module: WebAssembly.Module, build: Build): void {
  const [section] = WebAssembly.Module.customSections(module, SECTION);
  const layout = section === undefined ? undefined : new DataView(section).getUint32(0, true);
  if (layout === LAYOUT_HASH) return;
  throw new Error(
    `the module for the ${build} build is not that of this version of memslots: its layout is ` +
      `${layout === undefined ? "not told" : hex(layout)}, that of this version ${hex(LAYOUT_HASH)}`,
  );
}

/** @throws KvmError EIO naming the field of the header that cannot be what `create` has written */
export function checkHeader(module: WebAssembly.Module, memory: WebAssembly.Memory, base: number): void {
  const words = new Uint32Array(memory.buffer, base, HEADER_BYTES / 4);
  const at = (field: number): number => words[field / 4]!;
  for (const [field, name, min, max] of limits()) {
    if (at(field) < min || at(field) > max) throw damaged(base, `${name} is ${at(field)}`);
  }
  const gfnBits = at(HEADER_MAX_PHYS_ADDR_BITS_OFFSET) - at(HEADER_PAGE_SHIFT_OFFSET);
  const maxGfn = at(HEADER_MAX_GFN_OFFSET) + at(HEADER_MAX_GFN_OFFSET + 4) * 2 ** 32;
  if (gfnBits < 1 || maxGfn !== 2 ** gfnBits - 1) throw damaged(base, `maxGfn is ${maxGfn}`);
  const model = modelHeader(module, {
    addressSpaces: at(HEADER_ADDRESS_SPACES_OFFSET),
    maxSlots: at(HEADER_MAX_SLOTS_OFFSET),
    maxVcpus: at(HEADER_MAX_VCPUS_OFFSET),
    shared: isShared(memory),
  });
  const bytes = at(HEADER_FIXED_BYTES_OFFSET);
  if (bytes !== model.bytes || base + bytes > memory.buffer.byteLength) {
    throw damaged(base, `its size is ${bytes}`);
  }
  for (let field = HEADER_READERS_OFFSET; field <= HEADER_THREADS_OFFSET; field += 4) {
    const expected = model.words[field / 4]! + (COUNTS.has(field) ? 0 : base - model.base);
    if (at(field) !== expected)
      throw damaged(base, `the word at byte ${field} is ${at(field)}, not ${expected}`);
  }
  const root = at(HEADER_ROOT_OFFSET) - (at(HEADER_ROOT_OFFSET) & ROOT_BITS) - at(HEADER_ROOTS_OFFSET);
  if (root % ROOT_BYTES !== 0 || root < 0 || root >= ROOTS * ROOT_BYTES) {
    throw damaged(base, `root is ${at(HEADER_ROOT_OFFSET)}`);
  }
}

function damaged(base: number, what: string): KvmError {
  return new KvmError(-ERRNO.EIO, "attach", { reason: `the engine at ${base} is damaged: ${what}` });
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, "0")}`;
}
