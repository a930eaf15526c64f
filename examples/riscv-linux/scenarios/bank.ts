/**
 * A bank of RAM that the kernel does not use, only a program by /dev/mem, is taken away while Linux works, and given
 * back as other host memory: who uses the bank meanwhile gets a signal, and nobody else notices.
 */
import { bootLinux, RAM_BYTES, switchOff } from "../booted.js";
import type { LinuxGuest } from "../guest.js";
import { RAM } from "../map.js";
import { sumsOf } from "./shell.js";

const BANK_BYTES = 32 << 20;
const BANK = RAM + RAM_BYTES;
const [LOWER_SLOT, BANK_SLOT] = [0, 1];
const FIRST = 0x1234_5678;
const SECOND = 0x9abc_def0;

export interface BankResult {
  /** What the program reads of the bank: at first, without it, with the other memory. */
  readonly read: readonly string[];
  readonly wrong: readonly string[];
}

export async function runBank(
  module: WebAssembly.Module,
  guest: LinuxGuest,
  harts: number,
): Promise<BankResult> {
  const size = { ramBytes: RAM_BYTES + BANK_BYTES, bankBytes: BANK_BYTES };
  const booted = await bootLinux(module, guest, harts, size);
  const { machine, console: output } = booted;
  const { engine } = machine;
  const bank = machine.ram(BANK_SLOT, RAM_BYTES, BANK_BYTES);
  const fill = (value: number) =>
    new Uint32Array(machine.memory.buffer, bank.userspaceAddr, BANK_BYTES / 4).fill(value);
  const read: string[] = [];
  const look = async () => {
    const command = `devmem 0x${BANK.toString(16)} 32 2>&1 || echo no memory`;
    read.push((await output.run(`sh -c '${command}' 2> /dev/null`)).trim().split("\n").at(-1)!);
  };
  try {
    engine.setUserMemoryRegionList([
      machine.ram(LOWER_SLOT, 0, 0),
      machine.ram(LOWER_SLOT, 0, RAM_BYTES),
      bank,
    ]);
    const sums = output.start("sha256sum /data/*");
    fill(FIRST);
    const found = [await sums()];
    await look();
    engine.setUserMemoryRegion({ ...bank, memorySize: 0 });
    await look();
    found.push(await output.run("sha256sum /data/*"));
    fill(SECOND);
    engine.setUserMemoryRegion(bank);
    await look();
    found.push(await output.run("sha256sum /data/*"));
    await switchOff(booted);
    const wanted = [FIRST, SECOND].map((value) => `0x${value.toString(16).toUpperCase()}`);
    const isRight = read[0] === wanted[0] && read[1] === "no memory" && read[2] === wanted[1];
    return {
      read,
      wrong: [
        ...(isRight ? [] : [`bank: the guest read ${read.join(", ")}`]),
        ...found.filter((text) => text !== sumsOf(guest)).map((text) => `bank: ${JSON.stringify(text)}`),
      ],
    };
  } catch (error) {
    await machine.end();
    throw error;
  }
}
