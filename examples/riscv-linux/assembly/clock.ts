/** The machine's clock, which JavaScript has; the file's name is the import's module name. */

/** Ticks of the CSR `time`, of 100 ns. */
export declare function now(): f64;
