/** A machine with its vCPUs running, and a process for it to move to: what both ways of migration begin with. */
import { fork } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { Worker } from "node:worker_threads";
import { MemslotEngine, superviseWorker } from "memslots";
import { mapGuest, RAM_BYTES, VCPUS } from "./guest.mjs";
import { Sender } from "./wire.mjs";

export async function startMachine() {
  const engine = await MemslotEngine.create();
  mapGuest(engine);
  const ram = new SharedArrayBuffer(RAM_BYTES);
  // No page is like another one, or like one that has not arrived.
  const words = new Uint32Array(ram);
  for (let i = 0; i < words.length; i++) words[i] = i + 1;
  const registers = new BigUint64Array(new SharedArrayBuffer(8 * VCPUS));
  const workers = Array.from({ length: VCPUS }, () => new Worker(new URL("vcpu.mjs", import.meta.url)));
  for (const [index, worker] of workers.entries()) {
    const running = said(worker, "running");
    worker.postMessage({ handle: superviseWorker(engine, worker), ram, registers, index });
    await running;
  }
  return { engine, ram: new Uint8Array(ram), registers, workers };
}

/** The next message `what` of a worker. */
export function said(worker, what) {
  return new Promise((resolve, reject) => {
    const listen = (message) => {
      if (message.what !== what) return;
      worker.off("message", listen);
      resolve(message);
    };
    worker.on("message", listen);
    worker.once("error", reject);
  });
}

/**
 * The other process. `sender` sends it frames; `told(what)` is its message `what`, which may be here already;
 * `onMissing(hva)` is called when it lacks a page.
 */
export function startDestination(mode, onMissing) {
  const child = fork(new URL("destination.mjs", import.meta.url), [mode], {
    stdio: ["pipe", "inherit", "inherit", "ipc"],
  });
  const messages = new Map();
  const mail = new EventEmitter();
  child.on("message", (message) => {
    if (message.what === "missing") return onMissing(message.hva);
    messages.set(message.what, message);
    mail.emit("message");
  });
  child.on("exit", (code) => mail.emit("error", new Error(`the destination ended with ${code}`)));
  return {
    sender: new Sender(child.stdin),
    async told(what) {
      while (!messages.has(what)) await once(mail, "message");
      const message = messages.get(what);
      messages.delete(what);
      return message;
    },
    send: (message) => child.send(message),
    end() {
      mail.on("error", () => {});
      child.kill();
    },
  };
}
