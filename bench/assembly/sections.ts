/** Read sections in a loop, and grace periods without a reader to wait for. */

import { pinRoot, unpinRoot } from "../../assembly/atomic";
import { Header, ROOT_BYTES, ROOTS } from "../../assembly/layout";
import { gpaToHva } from "../../assembly/lookup";
import { awaitReaders, publishSpare } from "../../assembly/publish";
import { enterSection, exitSection } from "../../assembly/readers";
import { rootAt } from "../../assembly/roots";

export function sectionEach(reader: usize, count: u32): f64 {
  let changes: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    changes += <u32>inline.always(enterSection(reader));
    inline.always(exitSection(reader));
  }
  return <f64>changes;
}

/** The least that a section needs: the pin of the reader line at `reader`. */
export function pinOnly(reader: usize): void {
  pinRoot(reader, 1);
}

/** The end of such a section. */
export function unpinOnly(reader: usize): void {
  unpinRoot(reader);
}

/** Two exchanges of a word, the least protection of a map in place: what a processor takes for them differs. */
export function exchangeEach(word: usize, count: u32): f64 {
  for (let i: u32 = 0; i < count; i++) {
    atomic.xchg<u32>(word, 1);
    atomic.xchg<u32>(word, 0);
  }
  return 0;
}

/** Each lookup between two such exchanges. The vCPU must be in a section. */
export function translateExchanged(reader: usize, word: usize, keys: usize, count: u32): f64 {
  const end = keys + (count << 3);
  let sum: f64 = 0;
  for (; keys < end; keys += 8) {
    atomic.xchg<u32>(word, 1);
    sum += inline.always(gpaToHva(reader, load<f64>(keys)));
    atomic.xchg<u32>(word, 0);
  }
  return sum;
}

/** Each lookup in a separate section. */
export function translateInSections(reader: usize, keys: usize, count: u32): f64 {
  const end = keys + (count << 3);
  let sum: f64 = 0;
  for (; keys < end; keys += 8) {
    inline.always(enterSection(reader));
    sum += inline.always(gpaToHva(reader, load<f64>(keys)));
    inline.always(exitSection(reader));
  }
  return sum;
}

/** Make all roots equal, so that publishing the next one changes nothing. The engine must be idle. */
export function equalRoots(header: usize): void {
  const engine = changetype<Header>(header);
  const active = rootAt(header, engine.activeRoot);
  for (let number: u32 = 0; number < ROOTS; number++) {
    if (number != engine.activeRoot) memory.copy(rootAt(header, number), active, ROOT_BYTES);
  }
}

/** Publish and wait for the readers of the replaced root. @returns publications whose readers had left */
export function graceEach(header: usize, owner: u32, count: u32): f64 {
  let done: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    publishSpare(header);
    done += <u32>awaitReaders(header, owner, 0);
  }
  return <f64>done;
}
