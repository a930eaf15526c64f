/**
 * Worker threads, each with one vCPU, that watch an engine's map while this thread changes it.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { EngineHandle } from "../engine.js";
import type { EncodedProbes } from "./probes.js";
import { Progress } from "./progress.js";

/** What a worker is to do; the step of `progress` is the commit whose probes it looks up. */
export interface ProbeTask {
  readonly handle: EngineHandle;
  readonly progress: SharedArrayBuffer;
  readonly vcpus: number;
  readonly vcpu: number;
  readonly probes: EncodedProbes;
  /** Lookups of a section. */
  readonly sectionLookups: number;
}

/** Lookups made by vCPUs, and those of them that found a page unmapped which had to be mapped. */
export interface ProbeCount {
  readonly accesses: number;
  readonly misses: number;
}

export type ProbeAnswer =
  | { readonly ready: true }
  | { readonly count: ProbeCount }
  | { readonly error: string };

export class Crew {
  readonly #workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  /** Start `vcpus` workers from the built vcpuworker.ts. */
  static async start(file: URL, vcpus: number): Promise<Crew> {
    const crew = new Crew(Array.from({ length: vcpus }, () => new Worker(file)));
    try {
      await Promise.all(crew.#workers.map((worker) => once(worker, "message")));
    } catch (error) {
      await crew.end();
      throw error;
    }
    return crew;
  }

  get vcpus(): number {
    return this.#workers.length;
  }

  /** Run `work` while the vCPUs look up `probes`. @throws what work throws, Error if a vCPU fails */
  async watch(
    handle: EngineHandle,
    probes: EncodedProbes,
    sectionLookups: number,
    work: (progress: Progress) => void,
  ): Promise<ProbeCount> {
    const progress = new Progress(this.vcpus);
    const answers = this.#workers.map((worker, vcpu) => {
      const { buffer } = progress;
      const task: ProbeTask = { handle, progress: buffer, vcpus: this.vcpus, vcpu, probes, sectionLookups };
      worker.postMessage(task);
      return answerOf(worker);
    });
    let failure: unknown;
    try {
      // Sections are there before the first commit, not during one of them.
      progress.awaitSections(1);
      work(progress);
    } catch (error) {
      failure = error;
    } finally {
      progress.stop();
    }
    // A failed vCPU ends the work too: its own error says more.
    const counts = await Promise.all(answers);
    if (failure !== undefined) throw failure;
    const sum = (field: keyof ProbeCount) => counts.reduce((total, count) => total + count[field], 0);
    return { accesses: sum("accesses"), misses: sum("misses") };
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

async function answerOf(worker: Worker): Promise<ProbeCount> {
  const [answer] = (await once(worker, "message")) as [ProbeAnswer];
  if ("count" in answer) return answer.count;
  throw new Error("error" in answer ? answer.error : "a vCPU answers before it is asked");
}
