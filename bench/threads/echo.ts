/** Sends each message back: the time of a postMessage round trip. */
import { parentPort } from "node:worker_threads";

parentPort!.on("message", (message) => {
  if (message === "end") parentPort!.close();
  else parentPort!.postMessage(message);
});
