/**
 * Compiler transform: keep `sleepOnWord` a function of its own.
 *
 * The baseline compiler of V8 11.3 (Node 20) loses locals and stack values that are alive across
 * memory.atomic.wait32. A call saves them, so the wait must sit in a function that needs nothing afterwards,
 * and Binaryen must not inline it.
 */
import binaryen from "assemblyscript/binaryen";
import { Transform } from "assemblyscript/transform";

export default class NoInline extends Transform {
  afterCompile(module) {
    binaryen.setPassArgument("no-inline", "*sleepOnWord*");
    module.runPasses(["no-inline"]);
  }
}
