/**
 * Compiler transform: functions that Binaryen must not inline.
 *
 * `sleepOnWord`, because the baseline compiler of V8 11.3 (Node 20) loses locals and stack values that are alive across
 * memory.atomic.wait32. A call saves them, so the wait must sit in a function that needs nothing afterwards.
 *
 * The others for size: a writer, or a walk, calls them from several places, and each copy would be a tenth of a KB or
 * more. What a vCPU's lookup runs has the same instructions with and without.
 */
import binaryen from "assemblyscript/binaryen";
import { Transform } from "assemblyscript/transform";

export const NAMES = {
  atomic: ["sleepOnWord"],
  chunks: ["padChunk", "searchPlace"],
  consumers: ["createLog", "nameAt"],
  dirtybitmap: ["fillPages", "freeBitmap", "useDirtyBitmap"],
  dirtylog: ["loggedRecord"],
  dirtyring: ["announceRings"],
  heap: ["freeHeap", "growHeap", "searchHeap"],
  hvaindex: ["refreshChunk", "refreshGroup"],
  iterate: ["putRegion"],
  publish: ["readerBehind"],
  readers: ["freeLine", "ownSectionOpen", "vcpuInside"],
  recover: ["mark", "marked"],
  views: ["moveView", "viewAt"],
  windows: ["dropStagedWindows", "unstageWindows", "windowsDiffer"],
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
