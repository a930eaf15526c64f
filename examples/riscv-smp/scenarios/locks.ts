/**
 * Locks and a queue between two harts, while the map changes under them: what RISC-V's memory model promises
 * holds across commits.
 */
import { setImmediate } from "node:timers/promises";
import { mergeSlots, splitSlot } from "memslots";
import { guestProgram } from "../guest.js";
import { Machine } from "../machine.js";
import { RAM } from "../map.js";

const HARTS = 2;
/** As in guests/locks.s. */
const ROUNDS = 20000;
const COUNTERS = ["count_swap", "count_lr_sc", "count_peterson"] as const;
const RAM_BYTES = 0x1_0000;
const PAGE = 0x1000;

export interface LockResult {
  readonly commits: number;
  readonly instructions: number;
  readonly seconds: number;
  readonly wrong: readonly string[];
}

export async function runLocks(module: WebAssembly.Module): Promise<LockResult> {
  const machine = await Machine.create({ harts: HARTS, ramBytes: RAM_BYTES, module });
  const { engine } = machine;
  const program = guestProgram("locks");
  machine.load(program);
  const whole = machine.ram(0, 0, RAM_BYTES);
  engine.setUserMemoryRegion(whole);
  const split = splitSlot(whole, RAM + PAGE, 1);
  const merge = mergeSlots(machine.ram(0, 0, PAGE), machine.ram(1, PAGE, RAM_BYTES - PAGE));
  try {
    await machine.start(RAM);
    const start = performance.now();
    machine.go();
    let commits = 0;
    let done = false;
    const ended = machine.ended().finally(() => {
      done = true;
    });
    while (!done) {
      engine.setUserMemoryRegionList(commits % 2 === 0 ? split : merge);
      commits++;
      // The harts' messages are tasks, which await alone does not let run.
      await setImmediate();
    }
    const codes = await ended;
    const wrong = codes.flatMap((code, hart) => (code === 0 ? [] : [`hart ${hart} ended with ${code}`]));
    for (const counter of COUNTERS) {
      const found = machine.word(program.symbols.get(counter)!);
      if (found !== HARTS * ROUNDS) wrong.push(`${counter}: ${found}, not ${HARTS * ROUNDS}`);
    }
    const { instructions } = machine.total();
    return { commits, instructions, seconds: (performance.now() - start) / 1000, wrong };
  } finally {
    await machine.end();
  }
}
