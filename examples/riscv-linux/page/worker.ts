/** A hart's thread in a browser. */
import { type HartTask, HartThread } from "../hartthread.js";

addEventListener("message", ({ data }: MessageEvent<HartTask>) => {
  void HartThread.run(data, (message) => postMessage(message));
});
