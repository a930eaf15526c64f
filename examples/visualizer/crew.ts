/** The machine of this page: with workers if the page can share memory with them, else in the page itself. */
import { type EngineOptions, MemslotEngine } from "memslots";
import { Board } from "./board.js";
import { EngineMachine, type Machine, type MachineState } from "./machine.js";
import { Remote } from "./remote.js";
import type { VcpuTask } from "./vcpuworker.js";

const VCPUS_MIN = 2;
const VCPUS_MAX = 4;
const LIMITS: EngineOptions = { addressSpaces: 4, maxSlots: 4096, maxVcpus: 8, maxListEntries: 8192 };

export interface Crew {
  readonly machine: Machine;
  /** The board of the vCPUs; undefined without vCPUs. */
  readonly board: Board | undefined;
}

/** Start the machine. @param failed called when a worker dies */
export async function startCrew(failed: (error: Error) => void): Promise<Crew> {
  if (!globalThis.crossOriginIsolated) {
    const engine = await MemslotEngine.create({ ...LIMITS, shared: false });
    return { machine: new EngineMachine(engine, undefined, () => performance.now()), board: undefined };
  }
  const engine = await MemslotEngine.create({ ...LIMITS, shared: true });
  const board = Board.of(Math.max(VCPUS_MIN, Math.min(VCPUS_MAX, navigator.hardwareConcurrency - 1)));
  const remote = new Remote(
    new Worker(new URL("./machineworker.js", import.meta.url), { type: "module", name: "machine" }),
    failed,
  );
  await remote.call("start", { handle: engine.handle, board: board.buffers });
  const vcpus = Array.from({ length: board.buffers.vcpus }, (_, number) =>
    startVcpu({ handle: engine.handle, board: board.buffers, number }, failed),
  );
  await Promise.all(vcpus);
  return {
    board,
    machine: {
      watch: (probes, mode) => remote.call("watch", probes, mode),
      commit: (updates) => remote.call<MachineState>("commit", updates),
      dirtyLogs: (slots) => remote.call("dirtyLogs", slots),
    },
  };
}

function startVcpu(task: VcpuTask, failed: (error: Error) => void): Promise<void> {
  const name = `vCPU ${task.number}`;
  const worker = new Worker(new URL("./vcpuworker.js", import.meta.url), { type: "module", name });
  return new Promise((resolve, reject) => {
    worker.addEventListener("error", ({ message }) => {
      const error = new Error(`${name}: ${message || "it did not start"}`);
      reject(error);
      failed(error);
    });
    worker.addEventListener("message", () => resolve(), { once: true });
    worker.postMessage(task);
  });
}
