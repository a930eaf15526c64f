/**
 * Loops around the engine's functions, compiled together with the engine as an emulator's own core would be.
 * What the loops add up is the answer that every competitor must give too.
 */
export * from "./commits";
export * from "./hosts";
export * from "./lookups";
export * from "./mergecopy";
export * from "./rwlock";
export * from "./sections";
export * from "./treap";
