/** A hart's thread in a browser. */
import { type HartTask, HartThread } from "../hartthread.js";

addEventListener("message", ({ data }: MessageEvent<HartTask>) => {
  // A promise that is rejected here is no error of the worker to the page, which would wait for it for ever.
  HartThread.run(data, (message) => postMessage(message)).catch(reportError);
});
