/** The module of cpu.rs, its harts in worker threads. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type CpuExports, coreModule, type Emulator } from "../native/machine.js";
import { buildRust } from "./build.js";

/** WebAssembly pages: the module has some 60 at least, and no need for more. */
const PAGES = 64;

/** The module, compiled by `rustc`. @throws Error with what the compiler says */
export function compileRust(rustc: string): WebAssembly.Module {
  const path = fileURLToPath(new URL("./cpu.rs", import.meta.url));
  return new WebAssembly.Module(buildRust(rustc, { path }));
}

export function rustEmulator(module: WebAssembly.Module): Emulator {
  const core = coreModule();
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
  const memslots = new WebAssembly.Instance(core, { env: { memory } }).exports;
  // The first instance initializes the module's data; those of the harts find it.
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, memslots });
  const workers: Worker[] = [];
  return {
    memory,
    cpu: exports as unknown as CpuExports,
    start(hart, header, pc) {
      const workerData = { module, core, memory, hart, header, pc };
      const worker = new Worker(new URL("./hart.mjs", import.meta.url), { workerData });
      // Not caught: a hart that fails ends the program.
      worker.on("error", (error) => {
        throw error;
      });
      workers.push(worker);
    },
    async end() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
