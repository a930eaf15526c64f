/**
 * The source of a post-copy migration: the machine moves first, without its memory. Pages that the guest accesses are
 * asked for and sent at once; meanwhile all others are sent one after the other.
 */
import { guestMemory, restoreEngine, saveEngine } from "memslots";
import { PAGE, RAM_BYTES, runGuest } from "./guest.mjs";
import { startDestination, startMachine } from "./machine.mjs";
import { CHECK, ENGINE, MEMORY, SWITCH } from "./wire.mjs";

/** Bytes of a frame of pages that nobody has asked for: so long may it keep a page waiting that somebody has. */
const PUSH_BYTES = 2 ** 16;

/** One migration to a process of its own. @returns what it took */
export async function postCopy() {
  const { engine, ram, registers, workers } = await startMachine();
  let asked = 0;
  const destination = startDestination("post-copy", (hva) => {
    asked++;
    const page = hva - (hva % PAGE);
    void sender.send(MEMORY, page, ram.subarray(page, page + PAGE));
  });
  const { sender, told } = destination;
  try {
    const ready = told("ready");
    await sender.send(ENGINE, 0, saveEngine(engine)); // so that it has the code compiled
    await ready;

    const begin = performance.now();
    engine.pauseVcpus({ writers: true });
    const saved = saveEngine(engine);
    const restored = told("restored");
    await sender.send(ENGINE, 0, saved);
    await sender.send(SWITCH, 0, new Uint8Array(registers.buffer));
    await restored;
    const [running, complete] = [told("running"), told("complete")];
    destination.send("go");
    await running;
    const pause = performance.now() - begin;
    for (let at = 0; at < RAM_BYTES; at += PUSH_BYTES) {
      await sender.send(MEMORY, at, ram.subarray(at, at + PUSH_BYTES));
    }
    await complete;
    const arrival = performance.now() - begin;

    const stopped = told("counts");
    destination.send("stop");
    const { counts } = await stopped;
    const goesOn = counts.every((count, i) => BigInt(count) > registers[i]);
    // The guest is its registers: made to go as far, this memory must be that one.
    await replay(saved, ram, registers, counts);
    const checked = told("checked");
    for (let at = 0; at < RAM_BYTES; at += PUSH_BYTES) {
      await sender.send(CHECK, at, ram.subarray(at, at + PUSH_BYTES));
    }
    const { differences } = await checked;
    return { asked, pause, complete: arrival, differences, goesOn, count: registers.reduce((a, b) => a + b) };
  } finally {
    destination.end();
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Run the guest here, up to the counts of the other side, on an engine that nothing else uses. */
async function replay(saved, ram, registers, counts) {
  const engine = await restoreEngine(saved);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, ram, { vcpu });
  vcpu.enter();
  for (const [index, count] of counts.entries()) {
    runGuest(memory, registers, index, Number(BigInt(count) - registers[index]));
  }
  vcpu.exit();
  vcpu.release();
  engine.close();
}
