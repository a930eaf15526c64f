/**
 * What an engine costs: bytes per slot, per vCPU and in all, and the time to make one.
 */
import { MemslotEngine } from "memslots";
import { engineExports } from "../engine/wasm.js";
import type { Case, Entrant, Group, Quantity, Results, Row, Scale } from "../harness/case.js";

const CREATION = "memory creation";
const CREATE = "MemslotEngine.create";
const BYTES = "memory bytes";
/** Each engine reserves address space for its memory until it is collected. */
const ENGINES_PER_BATCH = 4;
const SIZES = [8, 512, 32764];
const VCPUS = 16;

async function creationEntrants(): Promise<Entrant[]> {
  return [
    {
      name: CREATE,
      build: () => ({
        operations: ENGINES_PER_BATCH,
        async batch() {
          let slots = 0;
          for (let i = 0; i < ENGINES_PER_BATCH; i++) slots += (await MemslotEngine.create()).maxSlots;
          return slots;
        },
      }),
    },
  ];
}

async function byteEntrants(): Promise<Quantity[]> {
  const engine = await MemslotEngine.create();
  const exports = engineExports(engine.handle.module, new WebAssembly.Memory(SCRATCH));
  const sized = (slots: number, vcpus: number): number => exports.engineBytes(64, 1, slots, vcpus) >>> 0;
  const quantity = (name: string, bytes: number): Quantity => ({ name, bytes });
  return [
    quantity("default engine, whole memory", engine.memory.buffer.byteLength),
    ...SIZES.map((n) => quantity(`engine of ${n} slots`, sized(n, VCPUS))),
    ...SIZES.map((n) => quantity(`per slot at ${n} slots`, (sized(n, VCPUS) - sized(1, VCPUS)) / (n - 1))),
    quantity("per vCPU", (sized(512, 1024) - sized(512, 1)) / 1023),
  ];
}

const SCRATCH = { initial: 1, maximum: 16384, shared: true };

function cases(): Case[] {
  return [
    { name: CREATION, n: 512, unit: "engine", prepare: creationEntrants },
    { name: BYTES, n: 512, unit: "engine", prepare: byteEntrants },
  ];
}

function rows(results: Results, _scale: Scale): Row[] {
  const bytes = results.case(BYTES, 512)?.figures ?? [];
  const creation = results.figure(CREATION, 512, CREATE)?.median;
  return [
    {
      id: "M1",
      what: "creation of a default engine after the module is compiled",
      n: "512",
      unit: "us",
      target: 1000,
      measured: creation === undefined ? undefined : creation / 1000,
    },
    ...bytes.map(({ name, median }, i) => ({
      id: i === 0 ? "M2" : "M3",
      what: name,
      n: "",
      unit: "bytes",
      measured: median,
      ...(i === 0 ? { target: 256 * 1024 } : {}),
    })),
  ];
}

export const memory: Group = { name: "memory", about: "bytes, and the birth of an engine", cases, rows };
