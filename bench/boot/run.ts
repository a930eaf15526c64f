/** `node --import tsx bench/boot/run.ts [--smoke] [--json]`: the boots, until `npm run bench -- boot` has them. */
import { fullBoots, measureBoots, smokeBoots } from "./measure.js";
import { bootTable, RFC_TABLE } from "./table.js";

const options = process.argv.includes("--smoke") ? smokeBoots : fullBoots;
const rows = await measureBoots({
  ...options,
  report: ({ trace, vcpus, way, samples, median }) => {
    const range = `${samples[0]!.toFixed(2)} .. ${samples.at(-1)!.toFixed(2)}`;
    console.error(
      `${trace}, ${vcpus} vCPUs, ${way}: ${median.toFixed(2)} ms (${range}, ${samples.length} boots)`,
    );
  },
});
if (process.argv.includes("--json")) console.log(JSON.stringify(rows));
else console.log(`${bootTable(rows)}\n\n${RFC_TABLE}`);
