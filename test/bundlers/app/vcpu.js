/** A worker of page.js. */
import { MemslotEngine } from "memslots";
import { readUntilTold } from "./reads.js";

addEventListener("message", async ({ data: { handle, words } }) => {
  const engine = await MemslotEngine.attach(handle);
  postMessage("ready");
  postMessage(readUntilTold(engine, words));
});
