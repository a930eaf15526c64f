/** Functions that are not inlined, by the file of the core. */
export const NAMES: Readonly<Record<string, readonly string[]>>;
