/**
 * One update of a guest map without host memory, ids or flags, the same for all structures of this directory. A stream
 * of updates is an array of these, and each list is a run of them.
 */
@unmanaged
export class Operation {
  gfn: u64;
  npages: u32;
  /** Nonzero payload to insert, 0 to remove the range that begins at `gfn`. */
  payload: u32;
}

export const OPERATION_BYTES: u32 = 16;

if (offsetof<Operation>() != OPERATION_BYTES) ERROR("Operation");
