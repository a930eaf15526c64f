/** The monitor: what it prints of an engine in a known state, and of a machine that runs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { engineCommands, execute, serveMonitor } from "../../examples/monitor.js";
import { PAGE } from "../support/region.js";

const PROMPT = "(monitor) ";
/** Of a process that compiles the hart first. */
const WATCHDOG_MS = 180_000;

/** Two address spaces, three slots, and a vCPU that is in a section of the layout before the last. */
async function stage() {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  const slot = (slot: number, page: number, pages: number, flags = 0) => ({
    slot,
    flags,
    guestPhysAddr: page * PAGE,
    memorySize: pages * PAGE,
    userspaceAddr: 0x40_0000 + page * PAGE,
  });
  engine.setUserMemoryRegionList([slot(7, 0x10, 4, KVM_MEM_LOG_DIRTY_PAGES), slot(3, 0, 1)]);
  const vcpu = engine.vcpu();
  vcpu.enter();
  vcpu.gpaToHva(PAGE);
  engine.setUserMemoryRegion(slot(0x1_0002, 0x20, 2, KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES));
  return { engine, vcpu, commands: engineCommands(engine) };
}

test("slots, of all address spaces and of one", async () => {
  const { commands } = await stage();
  const head = "as  slot  gpa      end      hva       flags";
  const first = "0   3     0x0      0x1000   0x400000  rw\n0   7     0x10000  0x14000  0x410000  rw,log";
  const second = "1   2     0x20000  0x22000  0x420000  ro,log";
  assert.is(execute(commands, "info slots"), `${head}\n${first}\n${second}`);
  assert.is(execute(commands, "  info   slots 1 "), `${head}\n${second}`);
  assert.is(execute(commands, "info slots 2"), "asId must be from 0 to 1, not 2");
});

test("generation, readers", async () => {
  const { engine, vcpu, commands } = await stage();
  const generations = [0, 1].map((asId) => `${asId}   ${engine.generation(asId)}`).join("\n");
  assert.is(execute(commands, "info generation"), `as  generation\n${generations}\n2 publications`);
  const row = (state: string, request = "", sections = 1) =>
    new RegExp(
      `^0x${vcpu.reader.toString(16)} +vcpu +${engine.owner} +0 +${state} +${request} *${sections} +1$`,
      "m",
    );
  assert.match(execute(commands, "info readers"), row("inside, old layout"));
  vcpu.refresh();
  engine.kick();
  assert.match(execute(commands, "info readers"), row("inside", "kicked"));
  vcpu.exit();
  assert.match(execute(commands, "info readers"), row("outside", "kicked"));
});

test("dirty pages since the last look; the machine's own log stays as it is", async () => {
  const { engine, commands } = await stage();
  const counts = (a: number, b: number) =>
    `as  slot  dirty  pages\n0   7     ${a}      4\n1   2     ${b}      2`;
  assert.is(execute(commands, "info dirty"), counts(4, 2), "nobody has looked yet");
  engine.getDirtyLog(7);
  engine.markDirty(0x10 * PAGE);
  engine.markDirty(0x13 * PAGE);
  assert.is(execute(commands, "info dirty"), counts(2, 0));
  assert.is(execute(commands, "info dirty"), counts(0, 0));
  assert.equal([...engine.getDirtyLog(7)], [0b1001, 0, 0, 0, 0, 0, 0, 0]);
  engine.setUserMemoryRegionList(
    engine
      .slots()
      .concat(engine.slots(1))
      .map((slot) => ({ ...slot, memorySize: 0 })),
  );
  assert.is(execute(commands, "info dirty"), "no slot keeps a log");
});

test("all four at once; what is not a command, or cannot be done, is told", async () => {
  const { commands, vcpu } = await stage();
  execute(commands, "info dirty");
  const four = ["slots", "generation", "readers", "dirty"].map((name) => execute(commands, `info ${name}`));
  // The monitor's own walks are sections, too.
  const same = (text: string) => text.replace(/(thread.* (?:inside|outside)) +\d+ +0$/m, "$1");
  assert.is(same(execute(commands, "info all")), same(four.join("\n\n")));
  assert.is(execute(commands, "info"), 'unknown command "info", try help');
  assert.is(execute(commands, "info slotsy"), 'unknown command "info slotsy", try help');
  assert.is(execute(commands, ""), "");
  for (const name of Object.keys(commands)) assert.ok(execute(commands, "help").includes(`\n${name} `), name);
  vcpu.exit();
  assert.is(execute(commands, "stop"), "held");
  assert.match(execute(commands, "stop"), "EBUSY");
  assert.is(execute(commands, "cont"), "running");
  assert.match(execute(commands, "cont"), "EINVAL");
});

test("answers stand between two prompts, until quit or the end of the input", async () => {
  const commands = { twice: { help: "", run: ([word]: readonly string[]) => `${word}${word}` } };
  for (const lines of ["twice ab\n\nquit\ntwice no\n", "twice ab\n\n"]) {
    const [input, output] = [new PassThrough(), new PassThrough()];
    input.end(lines);
    await serveMonitor(commands, input, output);
    output.end();
    assert.is(await text(output), `${PROMPT}abab\n${PROMPT}${PROMPT}\n`);
  }
});

/** `demo:smp --monitor` in a new process, one question at a time. */
async function startMonitor() {
  const main = fileURLToPath(new URL("../../examples/riscv-smp/main.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", main, "--monitor"], {
    stdio: ["pipe", "pipe", "inherit"],
    timeout: WATCHDOG_MS,
  });
  const ended = once(child, "exit");
  let answer = "";
  const prompt = async () => {
    while (!answer.endsWith(PROMPT)) {
      const [chunk] = await Promise.race([once(child.stdout, "data"), ended]);
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the monitor ended: ${answer}`);
      answer += chunk;
    }
    const text = answer.slice(0, -PROMPT.length);
    answer = "";
    return text;
  };
  await prompt();
  const ask = (line: string) => {
    child.stdin.write(`${line}\n`);
    return prompt();
  };
  /** Ask until the answer is as wanted; the process's own timeout is the watchdog. */
  const askUntil = async (line: string, isWanted: (answer: string) => boolean) => {
    for (;;) {
      const answer = await ask(line);
      if (isWanted(answer)) return answer;
    }
  };
  const quit = async () => {
    child.stdin.end("quit\n");
    return (await ended)[0];
  };
  return { ask, askUntil, quit };
}

/** Pages that `info dirty` counts in all slots. */
function dirtyPages(answer: string): number {
  return answer
    .trim()
    .split("\n")
    .slice(1)
    .reduce((sum, row) => sum + Number(row.split(/ +/)[2]), 0);
}

test("a machine that runs is looked at, held, and let go", async () => {
  const { ask, askUntil, quit } = await startMonitor();
  const publications = (answer: string) => Number(/(\d+) publications/.exec(answer)?.[1]);
  // Once around all changes of the map, so that every slot keeps a log.
  await askUntil("info generation", (answer) => publications(answer) > 12);
  assert.is(await ask("stop"), "held\n");
  const harts = await ask("info harts");
  assert.not.match(harts, / 0 instructions/);
  assert.match(harts, /hart 0: .*\nhart 1: /);
  const vcpus = (await ask("info readers")).split("\n").filter((row) => row.includes("vcpu"));
  assert.equal(
    vcpus.map((row) => row.includes("outside")),
    [true, true],
  );
  await ask("info dirty");
  assert.is(dirtyPages(await ask("info dirty")), 0, "nobody writes while the harts are held");
  assert.is(await ask("info harts"), harts);
  const changed = publications(await ask("info generation"));
  await askUntil("info generation", (answer) => publications(answer) > changed);
  assert.is(await ask("cont"), "running\n");
  // The counter by AMO, the one by LR and SC, the page of both harts' own, in whatever slots they are.
  let seen = 0;
  await askUntil("info dirty", (answer) => {
    seen = Math.max(seen, dirtyPages(answer));
    return seen >= 3;
  });
  assert.is(seen, 3);
  await askUntil("info harts", (answer) => answer !== harts);
  assert.not.match(await ask("info harts"), /[1-9]\d* (fetch|load|store)/);
  assert.is(await quit(), 0);
});

test.run();
