/**
 * `npm run demo:rust`: harts in Rust in worker threads, on an engine in the memory of their module, while JavaScript
 * changes the slots. Exit code 1 if the guest is disturbed by a list.
 */
import { demonstrate } from "../native/demo.js";
import { findRust } from "./build.js";
import { compileRust, rustEmulator } from "./emulator.js";

const rustc = findRust();
if (rustc === undefined) {
  console.log("skipped: no rustc with wasm32-unknown-unknown (Debian: rustc, libstd-rust-dev-wasm32)");
} else {
  const module = compileRust(rustc);
  await demonstrate("Rust", () => rustEmulator(module));
}
