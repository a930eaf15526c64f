/** The page's end of a worker: steps by name, because a strict policy forbids to send code. */
import { type EngineHandle, type MemslotEngine, superviseWorker } from "memslots";
import type { Scope, Steps } from "./steps.js";
import type { Reply } from "./worker.js";

type Args<Step> = Step extends (scope: Scope, ...args: infer Rest) => unknown ? Rest : never;
type Result<Step> = Step extends (...args: never[]) => infer Value ? Awaited<Value> : never;

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class Remote {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 0;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const pending = this.#pending.get(data.id)!;
      this.#pending.delete(data.id);
      if ("error" in data) pending.reject(new Error(data.error));
      else pending.resolve(data.result);
    };
    worker.onerror = (event) => {
      for (const { reject } of this.#pending.values()) reject(new Error(`worker: ${event.message}`));
    };
  }

  /** A worker without an engine. */
  static async start(words?: Int32Array): Promise<Remote> {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    const remote = new Remote(worker);
    await remote.#post("nothing", [], words);
    return remote;
  }

  /** A worker that is attached to `engine` and supervised by it, with one vCPU. */
  static async attached(engine: MemslotEngine, words: Int32Array): Promise<Remote> {
    const remote = await Remote.start(words);
    await remote.run("attach", remote.supervisedBy(engine));
    return remote;
  }

  supervisedBy(engine: MemslotEngine): EngineHandle {
    return superviseWorker(engine, this.#worker);
  }

  #post(step: keyof Steps, args: readonly unknown[], words?: Int32Array): Promise<unknown> {
    const id = ++this.#next;
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#worker.postMessage({ id, step, args, words });
    return answer;
  }

  /** Have a step done, and its result. */
  run<Name extends keyof Steps>(step: Name, ...args: Args<Steps[Name]>): Promise<Result<Steps[Name]>> {
    return this.#post(step, args) as Promise<Result<Steps[Name]>>;
  }

  /** Kill the worker wherever it is. */
  terminate(): void {
    this.#worker.terminate();
  }
}
