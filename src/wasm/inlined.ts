/** The core as a part of this file: nothing to fetch, nothing for a bundler to move. What `memslots` uses. */
import { shared, unsharedEdits } from "memslots:text";
import type { Build } from "../capabilities.js";
import { applyEdits, decodeText } from "./text.js";

/** Compile a build. @throws CompileError */
export function loadModule(build: Build): Promise<WebAssembly.Module> {
  const bytes = decodeText(shared);
  return WebAssembly.compile(build === "shared" ? bytes : applyEdits(bytes, decodeText(unsharedEdits)));
}
