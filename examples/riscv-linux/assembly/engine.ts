/**
 * The engine's functions that the hart calls wasm to wasm; the file's name is the import's module name. FLAT
 * is 1 in the build without them, set by asconfig.json.
 */
export declare function enterSection(reader: usize): bool;
export declare function exitSection(reader: usize): void;
export declare function fillTlb(reader: usize, gpa: f64, access: u32): f64;
export declare function tlbOf(reader: usize): usize;
export declare function markDirty(reader: usize, gpa: f64): void;
export declare function dirtyEpochOf(reader: usize): u32;
export declare function keepMarks(reader: usize): u32;
