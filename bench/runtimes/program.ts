/** One workload in this process: `program.ts NAME N full|smoke` prints one JSON object. */
import { measureWorkload, type WorkloadName } from "./workloads.js";

const [name, n, scale] = process.argv.slice(2);
const times = await measureWorkload(name as WorkloadName, Number(n), scale === "smoke");
const { bun, deno, node } = process.versions;
console.log(JSON.stringify({ ...times, version: deno ?? bun ?? node }));
