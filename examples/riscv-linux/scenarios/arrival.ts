/** The other process of the migration: takes the messages from its standard input, and runs the machine to the end. */
import { createHash } from "node:crypto";
import { deserialize } from "node:v8";
import { RAM_BYTES } from "../booted.js";
import { compileHart } from "../build.js";
import { GuestConsole } from "../console.js";
import { Machine } from "../machine.js";
import { startNodeThread } from "../nodethread.js";
import { type Arrival, type Departure, HEADER_BYTES, MESSAGE, PAGE_BYTES } from "./migration.js";

const ram = new Uint8Array(RAM_BYTES);

function takePages(message: Buffer): void {
  const count = message.readUInt32LE(0);
  const pages = 4 + count * 4;
  for (let i = 0; i < count; i++) {
    const at = pages + i * PAGE_BYTES;
    ram.set(message.subarray(at, at + PAGE_BYTES), message.readUInt32LE(4 + i * 4) * PAGE_BYTES);
  }
}

/** Until the last message, which it returns. */
async function receive(): Promise<Departure> {
  let parts: Buffer[] = [];
  let have = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    parts.push(part);
    have += part.length;
    for (;;) {
      if (have < HEADER_BYTES) break;
      if (parts[0]!.length < HEADER_BYTES) parts = [Buffer.concat(parts)];
      const bytes = HEADER_BYTES + parts[0]!.readUInt32LE(4);
      if (have < bytes) break;
      const all = Buffer.concat(parts);
      const message = all.subarray(HEADER_BYTES, bytes);
      if (all.readUInt32LE(0) === MESSAGE.end) return deserialize(message) as Departure;
      takePages(message);
      parts = [all.subarray(bytes)];
      have -= bytes;
    }
  }
  throw new Error("the migration has ended too early");
}

const output = new GuestConsole();
// Before the guest stands still on the other side.
const module = await compileHart("engine");
const { snapshot, before } = await receive();
const memory = new Uint8Array(ram.length + snapshot.memory.length);
memory.set(ram);
memory.set(snapshot.memory, ram.length);
const options = { module, start: startNodeThread, print: output.print };
const machine = await Machine.restore(options, { ...snapshot, memory });
output.attach(machine);
const ranAt = performance.timeOrigin + performance.now();
machine.go();
const sum = createHash("sha256").update(ram).digest("hex");
if (!before.includes("all done\n")) await output.expect(/all done\n/);
process.stdout.write(JSON.stringify({ ranAt, ram: sum, text: before + output.text } satisfies Arrival));
await machine.end();
