/**
 * The interpreter's module as TypeScript sees it. Apart from build.ts, because threads need no compiler.
 */

/** Exports of assembly/index.ts. */
export interface HartExports {
  hartBytes(): number;
  expansionBytes(): number;
  initExpansions(table: number): void;
  initHart(hart: number, id: number, reader: number, expansions: number): void;
  resumeHart(hart: number, reader: number): void;
  useRam(hart: number, gpa: number, bytes: number, hva: number): void;
  startHart(hart: number, pc: number, opaque: number): void;
  run(hart: number, budget: number): number;
  completeLoad(hart: number, value: bigint): void;
  completeStore(hart: number): void;
  refuseAccess(hart: number): void;
  answer(hart: number, error: number, value: number): void;
  flush(hart: number): void;
  makeFences(hart: number): void;
  getPc(hart: number): bigint;
  setPc(hart: number, pc: bigint): void;
  getPrivilege(hart: number): number;
  getRegister(hart: number, register: number): bigint;
  setRegister(hart: number, register: number, value: bigint): void;
  getFloat(hart: number, register: number): bigint;
  setFloat(hart: number, register: number, value: bigint): void;
  getCsr(hart: number, csr: number): bigint;
  exitAddress(hart: number): number;
  exitBytes(hart: number): number;
  exitValue(hart: number): bigint;
  timerAt(hart: number): number;
  enabledInterrupts(hart: number): number;
  mipAddress(hart: number): number;
  fencesWantedAddress(hart: number): number;
  fencesDoneAddress(hart: number): number;
  idleAddress(hart: number): number;
  instructions(hart: number): number;
  fetchFaults(hart: number): number;
  loadFaults(hart: number): number;
  storeFaults(hart: number): number;
  flushes(hart: number): number;
  fences(hart: number): number;
  misses(hart: number): number;
}

/** EXIT_* of assembly/hart.ts. */
export const EXIT = { budget: 0, load: 1, store: 2, wfi: 3, pause: 4, sbi: 5 } as const;

/** The engine's functions that the module imports, for a thread that runs no hart. */
export const NO_ENGINE: WebAssembly.ModuleImports = {
  enterSection() {},
  exitSection() {},
  fillTlb() {},
  tlbOf() {},
  markDirty() {},
  dirtyEpochOf() {},
  keepMarks() {},
};

/** A hart module over `memory`; `engine`: the engine's raw exports, none for the flat build; `now`: ticks. */
export function instantiateHart(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  engine: WebAssembly.ModuleImports,
  now: () => number,
): HartExports {
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, engine, clock: { now } });
  return exports as unknown as HartExports;
}
