/**
 * A vCPU in a worker thread: looks up pages of probes, section after section, and counts the misses. It is a separate
 * file in dist/, because a worker is started from a file.
 */
import { HVA_BAD, MemslotEngine, type Vcpu } from "../index.js";
import { serveTasks } from "./crew.js";
import { choosePage, type ProbeCount, type ProbePage, type ProbeTask } from "./probes.js";
import type { Progress } from "./progress.js";

serveTasks<ProbeTask>(async (task, number, progress) => {
  const engine = await MemslotEngine.attach(task.handle);
  const vcpu = engine.vcpu();
  try {
    return probe(vcpu, task, number, progress);
  } finally {
    vcpu.release();
    engine.close();
  }
});

function probe(vcpu: Vcpu, task: ProbeTask, number: number, progress: Progress): ProbeCount {
  const page: ProbePage = { asId: 0, gpa: 0, before: 0, after: 0 };
  // xorshift32: a word that is not 0 never becomes 0.
  let random = number + 1;
  let accesses = 0;
  let misses = 0;
  while (!progress.stopped) {
    const commit = progress.step;
    const before = accesses;
    vcpu.enter();
    for (let i = 0; i < task.sectionLookups; i++) {
      random ^= random << 13;
      random ^= random >>> 17;
      random ^= random << 5;
      if (!choosePage(task.probes, commit, random >>> 0, page)) break;
      if (vcpu.asId !== page.asId) vcpu.asId = page.asId;
      const hva = vcpu.gpaToHvaRead(page.gpa);
      accesses++;
      if (hva === HVA_BAD) misses++;
      else if (hva !== page.before && hva !== page.after) {
        const places = `${page.before} before the commit and ${page.after} after it`;
        throw new Error(`guest address ${page.gpa} translates to ${hva}, but is at ${places}`);
      }
    }
    vcpu.exit();
    progress.note(number, accesses > before);
  }
  return { accesses, misses };
}
