/**
 * Many addresses in one call. Mirrors __gfn_to_hva_many, for pages of any slots.
 *
 * Four searches go side by side: each of their steps waits for the one before, and one search after the other
 * fills the processor's window with steps that wait.
 *
 * The line's cache is left alone: storing and loading it once per address costs more than the search.
 */
import { ownPin } from "./atomic";
import { entryAt, searchChunk } from "./chunks";
import { readerChunk } from "./directory";
import { Entry, Reader, Record } from "./layout";
import { addressBits, BIAS_BITS, HVA_BAD, HVA_RO_BAD } from "./lookup";
import { batchOf, exitSection, openSection } from "./readers";
import { directoryOf, gfnIndexOf } from "./roots";
import { KVM_MEM_READONLY } from "./validate";

const SIDE_BY_SIDE: u32 = 4;

/** Guest address at `gpas`, in bytes; 2^52 or more, where no slot is, if it is none. */
function addressAt(gpas: usize): u64 {
  return addressBits(load<f64>(gpas)) - BIAS_BITS;
}

/** First entry of the chunk where `gfn` is. */
function firstEntry(directory: usize, gfn: u64): usize {
  return entryAt(inline.always(readerChunk(directory, gfn)), 0);
}

/** Host address of `address` by the entry that its search ended at. */
function answer(reader: usize, found: usize, address: u64, refused: u32): f64 {
  const line = changetype<Reader>(reader);
  const shift = line.pageShift;
  const entry = changetype<Entry>(found);
  const offset = address - (entry.key << shift);
  const slot = changetype<Record>(entry.record);
  if (offset >= (<u64>entry.npages) << shift) {
    line.misses += 1;
    return HVA_BAD;
  }
  if (slot.flags & refused) return HVA_RO_BAD;
  return <f64>(<i64>(slot.userspaceAddr + offset));
}

/**
 * Translate `count` f64 addresses at `gpas` into f64 host addresses at `hvas`; the two may be the same place.
 * `write` not 0: write translations.
 */
export function translateMany(reader: usize, gpas: usize, hvas: usize, count: u32, write: u32): void {
  openSection(reader);
  const line = changetype<Reader>(reader);
  const shift = line.pageShift;
  const directory = directoryOf(ownPin(reader), gfnIndexOf(line.asId));
  const refused = write != 0 ? KVM_MEM_READONLY : 0;
  const end = gpas + (count << 3);
  const whole = gpas + ((count & -SIDE_BY_SIDE) << 3);
  for (; gpas < whole; gpas += 32, hvas += 32) {
    const a = inline.always(addressAt(gpas));
    const b = inline.always(addressAt(gpas + 8));
    const c = inline.always(addressAt(gpas + 16));
    const d = inline.always(addressAt(gpas + 24));
    let p = inline.always(firstEntry(directory, a >> shift));
    let q = inline.always(firstEntry(directory, b >> shift));
    let r = inline.always(firstEntry(directory, c >> shift));
    let s = inline.always(firstEntry(directory, d >> shift));
    p = select<usize>(p + 256, p, load<u64>(p, 256) <= a >> shift);
    q = select<usize>(q + 256, q, load<u64>(q, 256) <= b >> shift);
    r = select<usize>(r + 256, r, load<u64>(r, 256) <= c >> shift);
    s = select<usize>(s + 256, s, load<u64>(s, 256) <= d >> shift);
    p = select<usize>(p + 128, p, load<u64>(p, 128) <= a >> shift);
    q = select<usize>(q + 128, q, load<u64>(q, 128) <= b >> shift);
    r = select<usize>(r + 128, r, load<u64>(r, 128) <= c >> shift);
    s = select<usize>(s + 128, s, load<u64>(s, 128) <= d >> shift);
    p = select<usize>(p + 64, p, load<u64>(p, 64) <= a >> shift);
    q = select<usize>(q + 64, q, load<u64>(q, 64) <= b >> shift);
    r = select<usize>(r + 64, r, load<u64>(r, 64) <= c >> shift);
    s = select<usize>(s + 64, s, load<u64>(s, 64) <= d >> shift);
    p = select<usize>(p + 32, p, load<u64>(p, 32) <= a >> shift);
    q = select<usize>(q + 32, q, load<u64>(q, 32) <= b >> shift);
    r = select<usize>(r + 32, r, load<u64>(r, 32) <= c >> shift);
    s = select<usize>(s + 32, s, load<u64>(s, 32) <= d >> shift);
    p = select<usize>(p + 16, p, load<u64>(p, 16) <= a >> shift);
    q = select<usize>(q + 16, q, load<u64>(q, 16) <= b >> shift);
    r = select<usize>(r + 16, r, load<u64>(r, 16) <= c >> shift);
    s = select<usize>(s + 16, s, load<u64>(s, 16) <= d >> shift);
    store<f64>(hvas, inline.always(answer(reader, p, a, refused)));
    store<f64>(hvas, inline.always(answer(reader, q, b, refused)), 8);
    store<f64>(hvas, inline.always(answer(reader, r, c, refused)), 16);
    store<f64>(hvas, inline.always(answer(reader, s, d, refused)), 24);
  }
  for (; gpas < end; gpas += 8, hvas += 8) {
    const address = inline.always(addressAt(gpas));
    const found = inline.always(
      searchChunk(inline.always(readerChunk(directory, address >> shift)), address >> shift),
    );
    store<f64>(hvas, inline.always(answer(reader, found, address, refused)));
  }
  exitSection(reader);
}

/** The same in the line's own scratch area: at most BATCH_ENTRIES addresses, in place. */
export function translateBatch(reader: usize, count: u32, write: u32): void {
  const batch = batchOf(reader);
  translateMany(reader, batch, batch, count, write);
}
