/**
 * The pictures of a test cartridge, by jsnes alone and on slots, folded into one number a console.
 */
import { type Board, cartridge } from "./boards.js";
import { fold, stateOf } from "./fingerprint.js";
import { Nes } from "./jsnes.js";
import { SlotNes } from "./machine.js";

/** A console with its cartridge, and the pictures it has shown. */
export interface Console<N extends Nes = Nes> {
  readonly nes: N;
  /** A number for each. */
  readonly pictures: number[];
}

export function alone(rom: Uint8Array): Console {
  const pictures: number[] = [];
  const nes = new Nes({ emulateSound: false, onFrame: (picture) => pictures.push(fold(picture)) });
  nes.loadROM(rom);
  return { nes, pictures };
}

export async function onSlots(rom: Uint8Array): Promise<Console<SlotNes>> {
  const pictures: number[] = [];
  const onFrame = (picture: Uint32Array) => pictures.push(fold(picture));
  return { nes: await SlotNes.create(rom, { emulateSound: false, onFrame }), pictures };
}

/** The pictures of some frames, and what the machine has come to. */
export function run({ nes, pictures }: Console, frames: number): number[] {
  for (let i = 0; i < frames; i++) nes.frame();
  return [...pictures.splice(0), stateOf(nes)];
}

export interface Comparison {
  readonly board: string;
  readonly frames: number;
  /** Pictures that differ from one another. */
  readonly different: number;
  /** Changes of the map. */
  readonly publications: number;
  /** All pictures and the final state of jsnes alone, and on slots. */
  readonly alone: number;
  readonly onSlots: number;
}

export async function compare(board: Board, frames: number): Promise<Comparison> {
  const rom = cartridge(board);
  const expected = run(alone(rom), frames);
  const slots = await onSlots(rom);
  const answers = run(slots, frames);
  return {
    board: board.name,
    frames,
    different: new Set(expected.slice(0, frames)).size,
    publications: slots.nes.banks.engine.publications,
    alone: fold(expected),
    onSlots: fold(answers),
  };
}
