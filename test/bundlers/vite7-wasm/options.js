import unshared from "memslots/engine.unshared.wasm?url";
import shared from "memslots/engine.wasm?url";

export const OPTIONS = { wasm: { shared, unshared } };
