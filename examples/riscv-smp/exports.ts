/**
 * The interpreter's module as TypeScript sees it. Apart from build.ts, because threads need no compiler.
 */

/** Exports of assembly/index.ts. */
export interface HartExports {
  hartBytes(): number;
  ramHva(): number;
  initHart(hart: number, id: number, pc: number, reader: number, ramBytes: number): void;
  run(hart: number, budget: number): number;
  completeLoad(hart: number, value: number): void;
  completeStore(hart: number): void;
  refuseAccess(hart: number): void;
  getPc(hart: number): number;
  setPc(hart: number, pc: number): void;
  getRegister(hart: number, register: number): number;
  setRegister(hart: number, register: number, value: number): void;
  getCsr(hart: number, csr: number): number;
  exitAddress(hart: number): number;
  exitBytes(hart: number): number;
  exitValue(hart: number): number;
  mipAddress(hart: number): number;
  instructions(hart: number): number;
  fetchFaults(hart: number): number;
  loadFaults(hart: number): number;
  storeFaults(hart: number): number;
  flushes(hart: number): number;
  misses(hart: number): number;
}

/** EXIT_* of assembly/hart.ts. */
export const EXIT = { budget: 0, load: 1, store: 2, wfi: 3, pause: 4 } as const;

/** A hart module over `memory`; `engine`: the engine's raw exports, none for the flat build. */
export function instantiateHart(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  engine: WebAssembly.ModuleImports = {},
): HartExports {
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, engine });
  return exports as unknown as HartExports;
}
