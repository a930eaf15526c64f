/**
 * npm run stress:dirty -- --lists N --vcpus N --seed X [--tool bitmap|ring|"ring and bitmap"]
 *   [--break carry|fold|settle]
 *
 * Exits with 1 if a dirty page was lost.
 */
import { parseArgs } from "node:util";
import { runProperty, type Tool } from "./property.js";

const TOOLS: readonly Tool[] = ["bitmap", "ring", "ring and bitmap"];

const { values } = parseArgs({
  options: {
    lists: { type: "string", default: "12000" },
    vcpus: { type: "string", default: "3" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    tool: { type: "string" },
    break: { type: "string" },
  },
});

function count(text: string, name: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`--${name} must be an integer from 1 on, not ${text}`);
}

const tools = TOOLS.filter((tool) => values.tool === undefined || values.tool === tool);
if (tools.length === 0) throw new Error(`--tool must be one of ${TOOLS.join(", ")}, not ${values.tool}`);
if (values.break !== undefined && !["carry", "fold", "settle"].includes(values.break)) {
  throw new Error(`--break can be carry, fold or settle, not ${values.break}`);
}
const [lists, vcpus] = [count(values.lists, "lists"), count(values.vcpus, "vcpus")];
const seed = Number(values.seed);
console.log(`seed ${seed}`);
let lost = 0;
for (const tool of tools) {
  const start = performance.now();
  const report = await runProperty({
    tool,
    lists,
    vcpus,
    seed,
    breakCarry: values.break === "carry",
    breakFold: values.break === "fold",
    breakSettle: values.break === "settle",
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const counts = Object.entries(report).map(([name, value]) => `${name} ${value.toLocaleString("en")}`);
  console.log(`${tool}: ${counts.join(", ")}; ${seconds} s`);
  lost += report.lost;
}
process.exitCode = lost === 0 ? 0 : 1;
