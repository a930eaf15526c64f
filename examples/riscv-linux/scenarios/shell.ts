/**
 * A shell on the console: what the kernel says of the processors, sums of files, and work that is heavy on processes,
 * pipes and floats. All of it has one right answer.
 */
import type { Booted } from "../booted.js";
import type { LinuxGuest } from "../guest.js";

/** What awk prints for the sum below, which it adds in the same order. */
function harmonic(terms: number): string {
  let sum = 0;
  for (let i = 1; i <= terms; i++) sum += i / (i * i + 1);
  return sum.toFixed(12);
}

const TERMS = 20_000;
const AWK = `awk 'BEGIN { for (i = 1; i <= ${TERMS}; i++) s += i / (i * i + 1); printf "%.12f\\n", s }'`;

export interface ShellResult {
  readonly processors: number;
  readonly kernel: string;
  readonly wrong: readonly string[];
}

/** Sums as sha256sum prints them. */
export function sumsOf(guest: LinuxGuest): string {
  return guest.files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("");
}

export async function runShell(
  { console: output, machine }: Booted,
  guest: LinuxGuest,
): Promise<ShellResult> {
  const wrong: string[] = [];
  const expect = async (command: string, wanted: string) => {
    const found = await output.run(command);
    if (found !== wanted) wrong.push(`${command}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  };
  const cpuinfo = await output.run("cat /proc/cpuinfo");
  const processors = cpuinfo.match(/^processor\s*:/gm)?.length ?? 0;
  if (processors !== machine.harts) wrong.push(`${processors} processors, not ${machine.harts}`);
  await expect("sha256sum /data/*", sumsOf(guest));
  await expect("cat /data/* > /scratch/all; gzip < /scratch/all | gunzip | cmp - /scratch/all", "");
  await expect(AWK, `${harmonic(TERMS)}\n`);
  const kernel = (await output.run("uname -r")).trim();
  return { processors, kernel, wrong };
}
