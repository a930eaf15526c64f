/** A module worker that does the steps which its page posts, one at a time. */
import { type Scope, STEPS } from "./steps.js";

/** Posted by the page. */
export interface Request {
  readonly id: number;
  readonly step: keyof typeof STEPS;
  readonly args: readonly unknown[];
  /** With the first request. */
  readonly words?: Int32Array | undefined;
}

export type Reply = { readonly id: number } & ({ readonly result: unknown } | { readonly error: string });

const scope = {} as { -readonly [Key in keyof Scope]: Scope[Key] };

addEventListener("message", async ({ data }: MessageEvent<Request>) => {
  const { id, step, args, words } = data;
  if (words !== undefined) scope.words = words;
  let reply: Reply;
  try {
    const work = STEPS[step] as (scope: Scope, ...args: unknown[]) => unknown;
    reply = { id, result: await work(scope, ...args) };
  } catch (error) {
    reply = { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  postMessage(reply);
});

// A page hears of a worker's errors only, not of its rejected promises.
addEventListener("unhandledrejection", ({ reason }) => reportError(reason));
