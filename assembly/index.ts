/**
 * The ABI: every function that JavaScript or an emulator's own wasm may call, in the order of the data flow.
 * Results of type i32 are a value >= 0 or a negated errno. `engine` is the address of a header, `reader` of a reader
 * line, both as handed out here. docs/abi.md describes them one by one.
 */

// Write: lock, stage, commit, unlock.
export { commitList, commitRegion2, lockEngine, stageList, unlockEngine } from "./commit";
// Birth: sizes, limits, owner tokens.
export { attachOwner, checkEngine, createEngine, engineBytes } from "./create";
// Dirty log.
export { beginClearDirtyLog, dirtyLogBytes, endClearDirtyLog, getDirtyLog } from "./dirtybitmap";

// Walk: slots by guest address, by host address, by number.
export { nextHostSlots, nextSlots, rewind, slotByNumber } from "./iterate";
// Read: gpa -> hva.
export { gfnToSlot, gpaToHva, gpaToHvaRead, markDirty, translateBatch, translateMany } from "./lookup";
// Readers: claim a line, open sections.
export {
  batchOf,
  claimThread,
  claimVcpu,
  enterSection,
  exitSection,
  refreshSection,
  releaseReader,
  setAddressSpace,
} from "./readers";

// State and capabilities.
export { commitNumber, enableDirtyRing, errorEntry, generation, graceOpen, setManualDirtyLog } from "./state";
