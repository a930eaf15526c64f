/**
 * `npm run demo:emscripten`: harts in C++ in pthreads, on an engine in the heap of their program, while JavaScript
 * changes the slots. Exit code 1 if the guest is disturbed by a list.
 */
import { demonstrate } from "../native/demo.js";
import { buildEmscripten, hasEmscripten } from "./build.js";
import { emscriptenEmulator } from "./emulator.js";

if (!hasEmscripten()) {
  console.log("skipped: no emcc (Debian: emscripten)");
} else {
  const built = buildEmscripten();
  await demonstrate("C++", () => emscriptenEmulator(built));
}
