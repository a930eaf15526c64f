/**
 * The devices: what the UART prints, ticks of the timer, interrupts between harts.
 */
import { guestProgram } from "../guest.js";
import { Machine } from "../machine.js";
import { RAM } from "../map.js";

const RAM_BYTES = 0x1_0000;

export interface HelloResult {
  readonly lines: readonly string[];
  /** Interrupts of the timer, of each hart by software. */
  readonly ticks: number;
  readonly woken: readonly number[];
  readonly codes: readonly (number | null)[];
}

export async function runHello(module: WebAssembly.Module, harts = 2): Promise<HelloResult> {
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  const machine = await Machine.create({ harts, ramBytes: RAM_BYTES, module, print });
  const program = guestProgram("hello");
  const at = (symbol: string) => program.symbols.get(symbol)!;
  machine.load(program);
  machine.setWord(at("harts"), harts);
  machine.engine.setUserMemoryRegion(machine.ram(0, 0, RAM_BYTES));
  try {
    await machine.start(RAM);
    machine.go();
    const codes = await machine.ended();
    const woken = machine.states.map((_, hart) => machine.word(at("woken") + hart * 4));
    return { lines, ticks: machine.word(at("ticks")), woken, codes };
  } finally {
    await machine.end();
  }
}
