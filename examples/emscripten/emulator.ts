/** The module of cpu.cpp, its harts in pthreads. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type CpuExports, coreModule, type Emulator } from "../native/machine.js";
import { type Built, MEMORY_BYTES } from "./build.js";

/** An instance as emscripten's script gives it. */
type Instance = {
  readonly [name in `_${keyof CpuExports}`]: (...args: number[]) => number;
} & {
  readonly _start_hart: (hart: number, header: number, pc: number) => void;
  readonly PThread: { terminateAllThreads(): void };
};
type CreateCpu = (options: object) => Promise<Instance>;

const WASM_PAGE = 2 ** 16;

/** `built`: the files of buildEmscripten. */
export async function emscriptenEmulator(built: Built): Promise<Emulator> {
  const createCpu: CreateCpu = createRequire(import.meta.url)(built.script);
  const pages = MEMORY_BYTES / WASM_PAGE;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const instance = await createCpu({
    wasmModule: new WebAssembly.Module(readFileSync(built.wasm)),
    coreModule: coreModule(),
    wasmMemory: memory,
  });
  return {
    memory,
    cpu: {
      engine_base: () => instance._engine_base() >>> 0,
      engine_bytes: () => instance._engine_bytes() >>> 0,
      ram_base: () => instance._ram_base() >>> 0,
      ram_bytes: () => instance._ram_bytes() >>> 0,
      status_of: (hart) => instance._status_of(hart) >>> 0,
    },
    start: (hart, header, pc) => instance._start_hart(hart, header, pc),
    async end() {
      instance.PThread.terminateAllThreads();
    },
  };
}
