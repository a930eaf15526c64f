/** One workload in this process: `program.ts NAME N full|quick|smoke` prints one JSON object. */
import { type Extent, measureWorkload, type WorkloadName } from "./workloads.js";

const [name, n, extent] = process.argv.slice(2);
const times = await measureWorkload(name as WorkloadName, Number(n), extent as Extent);
const { bun, deno, node } = process.versions;
console.log(JSON.stringify({ ...times, version: deno ?? bun ?? node }));
