/**
 * Crew: worker threads that use an engine, mostly as vCPUs, while this thread changes its map. The crew posts a task to
 * each worker and receives one result from each. `serveTasks` is the worker's end.
 */
import { once } from "node:events";
import { parentPort, type Worker } from "node:worker_threads";
import { Progress } from "./progress.js";

/** Number of a worker among those of a task, and the buffer of their shared Progress. */
export interface Place {
  readonly vcpu: number;
  readonly vcpus: number;
  readonly progress: SharedArrayBuffer;
}

type Message = { readonly ready: true } | { readonly answer: unknown } | { readonly error: string };

export class Crew {
  readonly #workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  /** Make a crew, once each worker is ready. @throws Error if one fails to start */
  static async of(workers: readonly Worker[]): Promise<Crew> {
    const crew = new Crew(workers);
    try {
      await Promise.all(workers.map((worker) => once(worker, "message")));
    } catch (error) {
      await crew.end();
      throw error;
    }
    return crew;
  }

  get size(): number {
    return this.#workers.length;
  }

  /**
   * Post the tasks and run `work` meanwhile; the workers stop when it returns.
   * @returns their results, in the order of the tasks
   * @throws the error of `work`; Error if a worker fails
   */
  async watch<Answer>(tasks: readonly object[], work: (progress: Progress) => void): Promise<Answer[]> {
    const vcpus = tasks.length;
    const progress = new Progress(vcpus);
    const answers = tasks.map((task, vcpu) => {
      const worker = this.#workers[vcpu]!;
      const place: Place = { vcpu, vcpus, progress: progress.buffer };
      worker.postMessage({ task, place });
      return answerOf(worker);
    });
    let failure: unknown;
    try {
      // The workers run before the first change.
      progress.awaitSections(1);
      work(progress);
    } catch (error) {
      failure = error;
    } finally {
      progress.stop();
    }
    // A failing worker ends the work too; its error comes first, because it says more.
    const all = await Promise.all(answers);
    if (failure !== undefined) throw failure;
    return all as Answer[];
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

async function answerOf(worker: Worker): Promise<unknown> {
  const [message] = (await once(worker, "message")) as [Message];
  if ("answer" in message) return message.answer;
  throw new Error("error" in message ? message.error : "a worker is ready twice");
}

/** Called in a worker: run `work` for each task and post its result. */
export function serveTasks<Task>(
  work: (task: Task, vcpu: number, progress: Progress) => Promise<unknown>,
): void {
  const port = parentPort;
  if (port === null) throw new Error("this file is to be started as a worker");
  const post = (message: Message) => port.postMessage(message);
  port.on("message", async ({ task, place }: { task: Task; place: Place }) => {
    const progress = new Progress(place.vcpus, place.progress);
    try {
      post({ answer: await work(task, place.vcpu, progress) });
    } catch (error) {
      progress.fail(place.vcpu);
      post({ error: error instanceof Error && error.stack !== undefined ? error.stack : String(error) });
    }
  });
  post({ ready: true });
}
