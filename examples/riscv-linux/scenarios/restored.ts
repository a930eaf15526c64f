/** The other process of the snapshot: restores the machine of a file, and prints what its console writes to the end. */
import { readFileSync } from "node:fs";
import { deserialize } from "node:v8";
import { compileHart } from "../build.js";
import { GuestConsole } from "../console.js";
import { Machine, type Snapshot } from "../machine.js";
import { startNodeThread } from "../nodethread.js";

const snapshot = deserialize(readFileSync(process.argv[2]!)) as Snapshot;
const output = new GuestConsole();
const module = await compileHart("engine");
const machine = await Machine.restore({ module, start: startNodeThread, print: output.print }, snapshot);
output.attach(machine);
machine.go();
await output.expect(/all done\n/);
process.stdout.write(output.text);
await machine.end();
