/** A demo of a module: the guest under updates one by one, then under lists. */
import { availableParallelism } from "node:os";
import { type Emulator, type Result, runGuest, WAYS } from "./machine.js";

const HARTS = 2;
const COMMITS = 10_000;

/** Sets exit code 1 if a list makes the guest fault, one by one does not, or anything does not add up. */
export async function demonstrate(
  language: string,
  emulator: () => Emulator | Promise<Emulator>,
): Promise<void> {
  console.log(
    `${HARTS} RV32I harts in ${language}, on ${availableParallelism()} processors, Node ${process.version}`,
  );
  const results: Result[] = [];
  for (const way of WAYS) {
    const result = await runGuest(await emulator(), way, HARTS, COMMITS);
    results.push(result);
    console.log(line(result));
  }
  const problems = results.flatMap(problemsOf);
  for (const problem of problems) console.log(problem);
  if (problems.length === 0) console.log("all counters add up");
  else process.exitCode = 1;
}

/** What a result should not be. */
export function problemsOf({ way, faults, wrong }: Result): string[] {
  const holes = faults > 0 === (way === "one by one") ? [] : [`${way}: ${faults} faults`];
  return [...holes, ...wrong.map((text) => `${way}: ${text}`)];
}

function line({ way, commits, faults, instructions, seconds }: Result): string {
  const millions = Number(instructions / 1_000_000n);
  return (
    `${way}: ${faults} faults, ${commits} changes of the map, ${millions} million instructions, ` +
    `${(millions / seconds).toFixed(0)} million a second`
  );
}
