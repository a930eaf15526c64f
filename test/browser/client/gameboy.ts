/** The example of a Game Boy's memory map, in a page. */
import type { Scenarios } from "./scenarios.js";

// A path of the server; the compiler looks for no types behind it.
const CHECK: string = "/examples/gameboy/check.mjs";

export const GAME_BOY: Scenarios = {
  "the memory map of a Game Boy": async () => {
    const { checkMap } = await import(CHECK);
    const passed: readonly string[] = await checkMap();
    return { checks: passed.length };
  },
};
