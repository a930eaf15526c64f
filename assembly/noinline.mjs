/**
 * Compiler transform: functions that Binaryen must not inline.
 *
 * `sleepOnWord`, because the baseline compiler of V8 11.3 (Node 20) loses locals and stack values that are alive across
 * memory.atomic.wait32. A call saves them, so the wait must sit in a function that needs nothing afterwards.
 *
 * The others for size: a writer, or a walk, calls them from several places, and each copy costs a tenth of a KB or
 * more. Those of atomic.ts cost twice: the build for unshared memory differs in each copy. A vCPU's lookup runs the
 * same instructions with and without.
 */
import binaryen from "assemblyscript/binaryen";
import { Transform } from "assemblyscript/transform";

export const NAMES = {
  atomic: [
    "advanceDirtyEpoch",
    "claimGate",
    "clearDirtyWord",
    "clearOverflow",
    "countOpening",
    "decideDirtyRing",
    "endHurry",
    "inheritGate",
    "inheritOwner",
    "mergeDirtyWord",
    "observeDirtyEpoch",
    "openGate",
    "orphanLock",
    "sleepOnWord",
    "takeDirtyWord",
    "tellOverflow",
    "wakeWriter",
  ],
  batch: ["translateSingly"],
  chunks: ["allocChunk", "freeChunk", "padChunk", "searchPlace"],
  consumers: ["createLog", "dropBits", "moveDirty", "pageOf", "pagesWithin", "placeOf", "visitLogs"],
  dirtybitmap: ["addKvmView", "anyDirty", "fillPages", "freeBitmap", "mergeBits", "useDirtyBitmap"],
  dirtylog: ["loggedRecord"],
  dirtyring: ["announceRings", "repairPush"],
  heap: ["freeHeap", "growHeap", "sameBytes", "searchHeap"],
  hostlog: [
    "addPending",
    "commitHostLog",
    "createBits",
    "createTable",
    "dropStagedHostLog",
    "extentAt",
    "extentFrom",
    "foldLog",
    "foldMarks",
    "freeExtent",
    "freeTable",
    "hostPage",
    "insertExtent",
    "soilPages",
  ],
  hurry: ["crowded"],
  hvaindex: ["refreshChunk", "refreshGroup"],
  iterate: ["putRegion"],
  lookup: ["cacheUncovered", "fill", "fromPiece", "mark", "resolveIn"],
  pieces: ["narrow", "search", "throughWindow"],
  privatememory: ["append"],
  readers: [
    "beginOther",
    "claimLine",
    "exitOther",
    "freeLine",
    "nest",
    "noteChange",
    "ownSectionOpen",
    "readerBehind",
    "tellWaiting",
    "vcpuInside",
  ],
  recover: ["mark", "marked"],
  tlb: ["dropAhead", "emptyTlb", "enterPage", "freeSpareTlbs", "freeTlb", "releaseTlb", "settleMarks"],
  windows: [
    "addMarks",
    "dropStagedWindows",
    "freeTable",
    "markWindow",
    "setStaged",
    "unstageWindows",
    "windowsDiffer",
    "windowsOf",
  ],
};

export default class NoInline extends Transform {
  afterCompile(module) {
    for (const [file, names] of Object.entries(NAMES)) {
      for (const name of names) {
        const full = `assembly/${file}/${name}`;
        // The loops of a benchmark are compiled with a part of the core.
        if (module.getFunction(full) === 0) continue;
        binaryen.setPassArgument("no-inline", full);
        module.runPasses(["no-inline"]);
      }
    }
  }
}
