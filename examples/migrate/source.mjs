/** The source of a migration: copies memory while the guest runs, pass by pass, until a pause for the rest is short. */
import { DirtyConsumer, saveEngine } from "memslots";
import { PAGE, RAM_BYTES } from "./guest.mjs";
import { startDestination, startMachine } from "./machine.mjs";
import { CHECK, ENGINE, MEMORY, SWITCH } from "./wire.mjs";

/** Bytes of a frame at most. */
const FRAME_BYTES = 2 ** 18;
/** So few pages are copied in the pause. */
const LAST_PASS_PAGES = 128;
const PASSES_MAX = 30;

/** Copy what is dirty. @returns pages */
async function pass(consumer, ram, sender) {
  let pages = 0;
  for (const range of consumer.begin()) {
    for (let at = range.hva; at < range.hva + range.bytes; at += FRAME_BYTES) {
      const end = Math.min(at + FRAME_BYTES, range.hva + range.bytes);
      await sender.send(MEMORY, at, ram.subarray(at, end));
    }
    pages += range.bytes / PAGE;
  }
  // It is with the other side, or in the pipe to it.
  consumer.done();
  return pages;
}

/** One migration to a process of its own. @returns what it took */
export async function migrate() {
  const destination = startDestination("pre-copy");
  const { sender, told } = destination;
  const { engine, ram, registers, workers } = await startMachine();
  try {
    const ready = told("ready");
    await sender.send(ENGINE, 0, saveEngine(engine)); // so that it has the code compiled
    await ready;
    const migration = new DirtyConsumer(engine, "migration", { initially: "dirty" });
    const passes = [];
    do passes.push(await pass(migration, ram, sender));
    while (passes.at(-1) > LAST_PASS_PAGES && passes.length < PASSES_MAX);

    const begin = performance.now();
    engine.pauseVcpus({ writers: true });
    const restored = told("restored");
    const last = await pass(migration, ram, sender);
    migration.close(); // the destination has no need of it
    await sender.send(ENGINE, 0, saveEngine(engine));
    await sender.send(SWITCH, 0, new Uint8Array(registers.buffer));
    await restored;
    const stopped = performance.now() - begin;

    // Nothing runs on either side: compare the memories.
    const checked = told("checked");
    for (let at = 0; at < RAM_BYTES; at += FRAME_BYTES) {
      await sender.send(CHECK, at, ram.subarray(at, at + FRAME_BYTES));
    }
    const { differences } = await checked;

    const running = told("running");
    const go = performance.now();
    destination.send("go");
    await running;
    const pause = stopped + (performance.now() - go);
    const { counts } = await told("counts");
    const goesOn = counts.every((count, i) => BigInt(count) > registers[i]);
    return {
      passes: [...passes, last],
      pause,
      differences,
      goesOn,
      count: registers.reduce((a, b) => a + b),
    };
  } finally {
    destination.end();
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
