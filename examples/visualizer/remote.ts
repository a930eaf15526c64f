/** Methods of an object in a worker, called from the page: one message there, one back. */

interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

type Reply = { readonly id: number; readonly result?: unknown; readonly error?: string };

type Methods = Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>;

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Called in the worker: the first message makes the object, the others call it. */
export function serve<Start, T extends object>(make: (start: Start) => Promise<T>): void {
  let object: Promise<T> | undefined;
  addEventListener("message", async ({ data }: MessageEvent<Call>) => {
    let reply: Reply;
    try {
      if (object === undefined) {
        object = make(data.args[0] as Start);
        await object;
        reply = { id: data.id };
      } else {
        const methods = (await object) as Methods;
        reply = { id: data.id, result: await methods[data.method]!(...data.args) };
      }
    } catch (error) {
      reply = { id: data.id, error: textOf(error) };
    }
    postMessage(reply);
  });
}

/** Called in the page. @param failed called when the worker dies of an error */
export class Remote {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #id = 0;

  constructor(worker: Worker, failed: (error: Error) => void) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      const call = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error !== undefined) call?.reject(new Error(data.error));
      else call?.resolve(data.result);
    });
    worker.addEventListener("error", ({ message }) => failed(new Error(message || "a worker did not start")));
  }

  call<T>(method: string, ...args: readonly unknown[]): Promise<T> {
    const id = ++this.#id;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ id, method, args } satisfies Call);
    });
  }
}
