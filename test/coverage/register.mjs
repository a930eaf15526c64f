/** Keeps the code that the loader of TypeScript makes of src/: V8 tells positions in that. */
import { register } from "node:module";

register("./hooks.mjs", import.meta.url);
