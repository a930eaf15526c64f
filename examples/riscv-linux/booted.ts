/** A machine with the guest's shell on its console. */

import { MOVED_BYTES, wholeRam } from "./changes.js";
import { GuestConsole } from "./console.js";
import type { LinuxGuest } from "./guest.js";
import { PROMPT } from "./initrd.js";
import { Machine, type MachineOptions } from "./machine.js";
import { startNodeThread } from "./nodethread.js";

export const RAM_BYTES = 192 << 20;

export interface Booted {
  readonly machine: Machine;
  readonly console: GuestConsole;
  /** From the first instruction to init, and to the shell. */
  readonly initSeconds: number;
  readonly shellSeconds: number;
}

export type Size = Pick<MachineOptions, "ramBytes" | "bankBytes">;

/** Boot Linux. @throws Error if it does not come up */
export async function bootLinux(
  module: WebAssembly.Module,
  guest: LinuxGuest,
  harts: number,
  size: Size = { ramBytes: RAM_BYTES },
): Promise<Booted> {
  const output = new GuestConsole();
  const machine = await Machine.create({
    harts,
    ...size,
    spareBytes: MOVED_BYTES,
    module,
    start: startNodeThread,
    print: output.print,
  });
  output.attach(machine);
  try {
    machine.engine.setUserMemoryRegion(wholeRam(machine));
    await machine.boot(guest);
    const start = performance.now();
    machine.go();
    const seconds = () => (performance.now() - start) / 1000;
    await output.expect(/init starts/);
    const initSeconds = seconds();
    await output.expect(new RegExp(PROMPT));
    const shellSeconds = seconds();
    // From here on the console has what commands write, and no more.
    await output.run("PS1=''");
    return { machine, console: output, initSeconds, shellSeconds };
  } catch (error) {
    await machine.end();
    throw error;
  }
}

/** Switch the guest off, as its shell does it. */
export async function switchOff({ machine, console: output }: Booted): Promise<void> {
  output.type("poweroff -f\n");
  await machine.ended;
  await machine.end();
}
