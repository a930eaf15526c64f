/**
 * `npm run demo:migrate -- [--post-copy] --runs N`: live migration of a guest of 64 MiB with two vCPUs at full speed,
 * from this process to another one. Exit code 1 if a byte of the memories differs, or the guest does not go on.
 */
import { parseArgs } from "node:util";
import { postCopy } from "./postcopy.mjs";
import { migrate } from "./source.mjs";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "5" }, "post-copy": { type: "boolean", default: false } },
});
const runs = Number(values.runs);
if (!Number.isInteger(runs) || runs < 1)
  throw new Error(`--runs must be an integer from 1 on, not ${values.runs}`);

/** One migration. @returns its result, and what was sent, as text */
async function once() {
  if (values["post-copy"]) {
    const result = await postCopy();
    const { asked, complete } = result;
    return { ...result, sent: `${asked} pages asked for, all there after ${complete.toFixed(0)} ms` };
  }
  const result = await migrate();
  const { passes } = result;
  return { ...result, sent: `${passes.length} passes of ${passes.join(", ")} pages` };
}

const pauses = [];
let equal = 0;
for (let run = 1; run <= runs; run++) {
  const { sent, pause, differences, goesOn, count } = await once();
  pauses.push(pause);
  if (differences === 0 && goesOn) equal++;
  console.log(
    `run ${run}: ${sent}, pause ${pause.toFixed(1)} ms, ` +
      `${differences} bytes differ, at ${count} the guest ${goesOn ? "goes on" : "STANDS"}`,
  );
}
pauses.sort((a, b) => a - b);
const median = pauses[Math.floor(pauses.length / 2)];
console.log(`${equal} of ${runs} runs equal, median of the pauses ${median.toFixed(1)} ms`);
process.exitCode = equal === runs ? 0 : 1;
