/**
 * The split without end, and a monitor to look at it.
 */

import { KVM_MEM_LOG_DIRTY_PAGES, type Slot } from "memslots";
import { type Command, engineCommands, execute, serveMonitor } from "../monitor.js";
import { disassemble } from "./asm/disassembler.js";
import { REGISTERS } from "./asm/fields.js";
import { guestProgram } from "./guest.js";
import type { Machine } from "./machine.js";
import { RAM } from "./map.js";
import { changesOf, createSplit } from "./scenarios/split.js";

function hex(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16).padStart(16, "0")}`;
}

/** @throws RangeError for a hart that there is not */
function hartOf(machine: Machine, [word = "0"]: readonly string[]): number {
  const hart = Number(word);
  if (machine.states[hart] === undefined) {
    throw new RangeError(`hart must be from 0 to ${machine.harts - 1}, not ${word}`);
  }
  return hart;
}

function registers(machine: Machine, hart: number): string {
  const state = machine.states[hart]!;
  const { getPc, getRegister } = machine.exports;
  const at = getPc(state);
  const pc = Number(at);
  const offset = pc - RAM;
  const isCode = offset >= 0 && offset < machine.ramBytes;
  const cells = REGISTERS.map((name, i) => `${name.padStart(4)} ${hex(getRegister(state, i))}`);
  const rows = Array.from({ length: 8 }, (_, row) => cells.slice(row * 4, row * 4 + 4).join("  "));
  return [`  pc ${hex(at)}  ${isCode ? disassemble(machine.word(pc), pc) : ""}`, ...rows].join("\n");
}

function harts(machine: Machine): string {
  const rows = machine.states.map((_, hart) => {
    const { instructions, fetchFaults, loadFaults, storeFaults, flushes } = machine.counts(hart);
    const faults = `${fetchFaults} fetch, ${loadFaults} load, ${storeFaults} store faults`;
    return `hart ${hart}: ${instructions} instructions, ${faults}, ${flushes} flushes`;
  });
  return rows.join("\n");
}

export function machineCommands(machine: Machine): Record<string, Command> {
  return {
    "info harts": { help: "what each has done", run: () => harts(machine) },
    "info registers": {
      help: "[HART] as of its last section; exact while stopped",
      run: (words) => registers(machine, hartOf(machine, words)),
    },
  };
}

/** Every slot keeps a log, so that there are dirty pages to look at; a slot that goes stays as it is. */
function logged(region: Slot): Slot {
  return { ...region, flags: region.memorySize === 0 ? 0 : region.flags | KVM_MEM_LOG_DIRTY_PAGES };
}

/** Commands come from standard input, which ends it. */
export async function monitorSplit(module: WebAssembly.Module, hartCount: number): Promise<void> {
  const machine = await createSplit(module, guestProgram("split"), hartCount);
  try {
    await machine.start(RAM);
    machine.go();
    const changes = changesOf(machine).map((list) => list.map(logged));
    let next = 0;
    // Between two commands, not during one: a list every 10 ms.
    const writer = setInterval(() => {
      machine.engine.setUserMemoryRegionList(changes[next++ % changes.length]!);
    }, 10);
    const commands = { ...engineCommands(machine.engine), ...machineCommands(machine) };
    await serveMonitor(commands, process.stdin, process.stdout);
    clearInterval(writer);
    // The input may have ended while they were held; if not, there is nobody to let go.
    execute(commands, "cont");
  } finally {
    await machine.end();
  }
}
