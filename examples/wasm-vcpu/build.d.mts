/** A module in the text format as bytes. */
export function buildWat(text: string): Uint8Array<ArrayBuffer>;
/** True if there is a clang that makes WebAssembly. */
export function hasClang(): boolean;
/** A C source, or `text` with the path "-", as bytes. */
export function buildC(path: string, text?: string): Uint8Array<ArrayBuffer>;
