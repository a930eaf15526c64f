/**
 * The ABI: every function that JavaScript or an emulator's own wasm may call, in the order of the data flow.
 * Results of type i32 are a value >= 0 or a negated errno. `engine` is the address of a header, `reader` of a
 * reader line, both as handed out here. docs/abi.md describes them one by one.
 */

// Birth: sizes, limits, owner tokens.
export { attachOwner, checkStamp, createEngine, engineBytes } from "./create";

// Readers: claim a line, open sections, be asked to leave them, die.
export {
  claimVcpu,
  claimThread,
  batchOf,
  setAddressSpace,
  enterSection,
  openSection,
  refreshSection,
  exitSection,
  openAccess,
  commitAfterLoads,
  suspendSection,
  resumeSection,
  enterVcpu,
  exitVcpu,
  insideVcpu,
  kickVcpus,
  vcpuKicked,
  sectionCount,
  missCount,
  releaseReader,
  reapOwner,
} from "./readers";
export { attachTlb, tlbOf } from "./tlb";

// Read: gpa -> hva, gpa -> hva or device.
export {
  gpaToHva,
  gpaToHvaRead,
  gfnToSlot,
  markDirty,
  dirtyEpochOf,
  keepMarks,
  resolve,
  fillTlb,
  pieceAt,
  deviceOf,
  deviceOffsetOf,
} from "./lookup";
export { translateBatch, translateMany } from "./batch";

// Walk: slots by guest address, by host address, by number; windows; readers.
export { rewind, nextSlots, nextHostSlots, slotAt, slotByNumber, windowTable, nextReaders } from "./iterate";

// Write: lock, stage, commit, wait, unlock; hold the vCPUs.
export {
  lockEngine,
  stageList,
  commitList,
  commitRegion2,
  endedLogs,
  synchronizeReaders,
  oldestCommit,
  beginPause,
  awaitVcpus,
  resumeVcpus,
  unlockEngine,
} from "./commit";
export { stageWindows } from "./windows";
export { editWindows } from "./windowedits";

// Private memory: stage files and attributes for a commit; look them up.
export { stageMemfd, stageMemfdClose, stageAttributes, attributesAt, resolvePrivate } from "./privatememory";

// Writes that came by no guest address.
export { markHostRange } from "./hostrange";

// Dirty log.
export {
  getDirtyLog,
  dirtyLogBytes,
  beginClearDirtyLog,
  endClearDirtyLog,
  takeDirtyPages,
} from "./dirtylog";

// Dirty rings.
export {
  dirtyRingBytes,
  attachDirtyRing,
  dirtyRingOf,
  dirtyRingFull,
  firstDirtyGfn,
  harvestDirtyRing,
  ringOverflow,
  resetDirtyRings,
} from "./dirtyring";

// Dirty consumers.
export { openConsumer, foldDirtyLogs, beginHarvest, nextDirty, endHarvest, closeConsumer } from "./consumers";

// State and capabilities.
export {
  commitNumber,
  generation,
  graceOpen,
  observe,
  errorEntry,
  changedCount,
  setManualDirtyLog,
  enableDirtyRing,
  enableRingBitmap,
} from "./state";
