// node examples/gameboy/main.mjs: check the map.
import { checkMap } from "./check.mjs";

for (const what of await checkMap()) console.log(what);
