/**
 * An RP2040 with the test program in its flash, as it is or with its bus on the engine, and all that comes out
 * of it: text, log, registers, memories.
 */
import { type RP2040, Simulator } from "rp2040js";
import { fold } from "../nes/fingerprint.js";
import { Bus } from "./bus.js";

/** 125 MHz. */
const CYCLE_NS = 8;

export interface Machine {
  readonly chip: RP2040;
  readonly clock: Simulator["clock"];
  /** undefined where rp2040js is as it is. */
  readonly bus: Bus | undefined;
  /** What came out of the UART. */
  text: string;
  /** What went to the USB host. */
  readonly usb: number[][];
  readonly log: string[];
  /** Instructions, and sleeps. */
  steps: number;
  /** The program has come to its end. */
  ended: boolean;
}

/** A machine that is about to execute the first instruction of `image`, which begins with the vector table. */
export async function createMachine(image: Uint8Array, kind: "as it is" | "on slots"): Promise<Machine> {
  const { rp2040: chip, clock } = new Simulator();
  const bus = kind === "on slots" ? await Bus.attach(chip) : undefined;
  const machine: Machine = { chip, clock, bus, text: "", usb: [], log: [], steps: 0, ended: false };
  const note = (component: string, message: string) => machine.log.push(`${component}: ${message}`);
  chip.logger = { debug: note, info: note, warn: note, error: note };
  chip.onBreak = () => {
    machine.ended = true;
  };
  chip.uart[0]!.onByte = (byte) => {
    machine.text += String.fromCharCode(byte);
  };
  chip.usbCtrl.onEndpointWrite = (endpoint, bytes) => machine.usb.push([endpoint, ...bytes]);
  inSection(machine, () => {
    chip.loadBootrom(bootrom(image));
    chip.flash.set(image);
  });
  return machine;
}

/** The core starts with what a boot ROM would find in the flash: stack and entry. The rest is to be read. */
function bootrom(image: Uint8Array): Uint32Array {
  const words = Uint32Array.from({ length: 4096 }, (_, i) => Math.imul(i, 0x9e3779b1));
  words.set(new Uint32Array(image.slice(0, 8).buffer));
  return words;
}

function inSection({ bus }: Machine, work: () => void): void {
  if (bus === undefined) work();
  else bus.inSection(work);
}

/** Go on for some steps, or until the program ends. */
export function execute(machine: Machine, steps: number): void {
  const { chip, clock } = machine;
  const { core } = chip;
  inSection(machine, () => {
    for (let i = 0; i < steps && !machine.ended; i++) {
      machine.steps++;
      clock.tick(core.waiting ? clock.nanosToNextAlarm : core.executeInstruction() * CYCLE_NS);
    }
  });
}

/** Registers, flags and memories as one number. */
export function stateOf({ chip }: Machine): number {
  const { core, sram, usbDPRAM, bootrom, flash } = chip;
  const { registers, xPSR, cycles } = core;
  const used = flash.subarray(0x7ff000, 0x801000);
  return [sram, usbDPRAM, bootrom, used, [xPSR, cycles]].reduce(
    (hash, values: ArrayLike<number>) => fold(values, hash),
    fold(registers),
  );
}
