/**
 * The engine's gfn index by itself: lists of operations, each applied to private copies and published, without the hva
 * index, KVM's checks and the records of a full commit. The engine must have no slots.
 */

import { closeDirectory, openDirectory } from "../../assembly/directory";
import { INSERTED, insertGfn, removeGfn } from "../../assembly/gfnindex";
import { ENTRY_BYTES, Header, RECORD_BYTES, Record, ROOT_BYTES, Root } from "../../assembly/layout";
import { publishSpare, reclaim } from "../../assembly/publish";
import { gfnIndexOf, rootAt, setDirectory, spareRoot } from "../../assembly/roots";
import { OPERATION_BYTES, Operation } from "./operation";

if (ENTRY_BYTES != OPERATION_BYTES) ERROR("operations are as large as entries");

/** Apply one list. @returns number of its operations that were refused */
function applyOperations(header: usize, operations: usize, count: u32): u32 {
  const engine = changetype<Header>(header);
  const index = gfnIndexOf(0);
  engine.transaction += 1;
  const root = rootAt(header, spareRoot(header));
  memory.copy(root, rootAt(header, engine.activeRoot), ROOT_BYTES);
  const directory = openDirectory(header, index);
  setDirectory(root, index, directory);
  let refused: u32 = 0;
  const end = operations + count * OPERATION_BYTES;
  for (; operations < end; operations += OPERATION_BYTES) {
    const operation = changetype<Operation>(operations);
    const remove = operation.payload == 0;
    // The record only names the range; the one after the last is free for that.
    const record = remove ? engine.records + (engine.recordCount - 1) * RECORD_BYTES : operation.payload;
    changetype<Record>(<usize>record).baseGfn = operation.gfn;
    changetype<Record>(<usize>record).npages = operation.npages;
    if (remove) removeGfn(header, index, directory, record);
    else if (insertGfn(header, index, directory, record) != INSERTED) refused++;
  }
  closeDirectory(directory);
  changetype<Root>(root).commit += 1;
  publishSpare(header);
  reclaim(header);
  return refused;
}

/** Apply `lists` lists of `entries` operations each, with one publication per list. */
export function commitEach(header: usize, operations: usize, entries: u32, lists: u32): f64 {
  let refused: u32 = 0;
  for (let i: u32 = 0; i < lists; i++) {
    refused += applyOperations(header, operations, entries);
    operations += entries * OPERATION_BYTES;
  }
  return <f64>refused;
}
