/**
 * Loops around the engine's functions, compiled together with the engine, as an emulator's core would be. Every
 * competitor must return the same sums.
 */
export * from "./commits";
export * from "./hosts";
export * from "./lookups";
export * from "./mergecopy";
export * from "./probes";
export * from "./rwlock";
export * from "./sections";
export * from "./treap";
