/**
 * Many addresses in one call. Mirrors __gfn_to_hva_many, for pages of any slots.
 *
 * Step by step for up to 64 addresses: the chunk of each, then the entry of each, then the answers. The loads of one
 * search wait for each other, and one search after the other fills the processor's window with such chains; of each
 * step alone there are many in the window, and the memory answers them side by side.
 *
 * The line's cache is left alone: storing and loading it once per address costs more than the search.
 */
import { ownPin } from "./atomic";
import { searchChunk } from "./chunks";
import { chunkAt, originOf, radixChunk } from "./directory";
import { BATCH_ENTRIES, BATCH_PLACES, Directory, Entry, Reader, Record, Structure } from "./layout";
import { addressBits, BIAS_BITS, gpaToHva, gpaToHvaRead, HVA_BAD, HVA_RO_BAD } from "./lookup";
import { batchOf, exitSection, openSection } from "./readers";
import { directoryOf, gfnIndexOf } from "./roots";
import { KVM_MEM_READONLY } from "./validate";
import { covers } from "./windows";

/** translateMany in place, in the line's own scratch area: at most BATCH_ENTRIES addresses. */
export function translateBatch(reader: usize, count: u32, write: u32): void {
  const batch = batchOf(reader);
  translateMany(reader, batch, batch, count, write);
}

/**
 * Translate `count` f64 addresses at `gpas` into f64 host addresses at `hvas`; the two may be the same place.
 * `write` not 0: write translations.
 */
export function translateMany(reader: usize, gpas: usize, hvas: usize, count: u32, write: u32): void {
  openSection(reader);
  const line = changetype<Reader>(reader);
  const shift = line.pageShift;
  const root = ownPin(reader);
  const singly = covers(root, line.asId);
  if (singly) translateSingly(reader, gpas, hvas, count, write);
  const directory = directoryOf(root, gfnIndexOf(line.asId));
  const refused = write != 0 ? KVM_MEM_READONLY : 0;
  const places = batchOf(reader) + BATCH_PLACES;
  const end = hvas + (singly ? 0 : count << 3);
  // By distances: in the last bytes of 4 GiB the end is 0, and an address behind it would be small.
  for (; hvas != end; gpas += BATCH_ENTRIES * 8) {
    const stop = hvas + min(end - hvas, BATCH_ENTRIES * 8);
    readAddresses(gpas, hvas, stop);
    findChunks(directory, hvas, stop, places, shift);
    findEntries(hvas, stop, places, shift);
    for (let place = places; hvas != stop; hvas += 8, place += 4) {
      store<f64>(hvas, inline.always(answer(reader, load<u32>(place), load<u64>(hvas), shift, refused)));
    }
  }
  exitSection(reader);
}

/** One after the other, where windows are over slots. */
function translateSingly(reader: usize, gpas: usize, hvas: usize, count: u32, write: u32): void {
  for (const end = hvas + (count << 3); hvas != end; hvas += 8, gpas += 8) {
    const gpa = load<f64>(gpas);
    store<f64>(hvas, write != 0 ? gpaToHva(reader, gpa) : gpaToHvaRead(reader, gpa));
  }
}

/** Guest addresses in bytes, as u64; 2^52 or more, where no slot is, for what is none. */
function readAddresses(gpas: usize, addresses: usize, end: usize): void {
  for (; addresses != end; gpas += 8, addresses += 8) {
    store<u64>(addresses, addressBits(load<f64>(gpas)) - BIAS_BITS);
  }
}

/** Chunks where the addresses are, as u32 into `places`. */
export function findChunks(directory: usize, addresses: usize, end: usize, places: usize, shift: u32): void {
  const list = changetype<Directory>(directory);
  const single: usize = list.chunkCount == 1 ? chunkAt(directory, 0) : 0;
  const structure: usize = list.structure;
  const blocks = changetype<Structure>(structure);
  const origin = originOf(structure);
  const bucketShift: u64 = blocks.shift;
  const lastBucket: u64 = blocks.lastBucket;
  const radix: usize = blocks.radix;
  for (; addresses != end; addresses += 8, places += 4) {
    let chunk = single;
    if (single == 0) {
      const gfn = load<u64>(addresses) >> shift;
      chunk = inline.always(radixChunk(directory, structure, radix, origin, bucketShift, lastBucket, gfn));
    }
    store<u32>(places, <u32>chunk);
  }
}

/** From the chunk of each address to its entry. */
export function findEntries(addresses: usize, end: usize, places: usize, shift: u32): void {
  for (; addresses != end; addresses += 8, places += 4) {
    const gfn = load<u64>(addresses) >> shift;
    store<u32>(places, <u32>inline.always(searchChunk(load<u32>(places), gfn)));
  }
}

/** Host address of `address` by the entry that its search ended at. */
function answer(reader: usize, found: usize, address: u64, shift: u32, refused: u32): f64 {
  const entry = changetype<Entry>(found);
  const offset = address - (entry.key << shift);
  const slot = changetype<Record>(entry.record);
  if (offset >= (<u64>entry.npages) << shift) {
    changetype<Reader>(reader).misses += 1;
    return HVA_BAD;
  }
  if (slot.flags & refused) return HVA_RO_BAD;
  return <f64>(<i64>(slot.userspaceAddr + offset));
}
