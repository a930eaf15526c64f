/** A worker that is told of commits: it posts back what its listener was told of each, in order. */
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
