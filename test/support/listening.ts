/** A worker that listens to commits and posts back the events of each, in order. */
import { parentPort } from "node:worker_threads";
import { deliver, type ListenerMessage } from "memslots/flatview";

parentPort!.on("message", (message: ListenerMessage) => {
  const told: string[] = [];
  const write = (event: string) => (section: { gpa: bigint; size: bigint; name: string }) => {
    told.push(`${event} ${section.gpa} ${section.size} ${section.name}`);
  };
  deliver(message, {
    begin: () => told.push("begin"),
    regionAdd: write("add"),
    regionDel: write("del"),
    regionNop: write("nop"),
    commit: () => told.push("commit"),
  });
  parentPort!.postMessage(told);
});
