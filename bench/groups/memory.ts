/** The cost of an engine: bytes per slot, per vCPU and in all, and the time to make one. */
import { MemslotEngine } from "memslots";
import { engineExports } from "../engine/wasm.js";
import type { Case, Entrant, Group, Quantity, Results, Row, Scale } from "../harness/case.js";

const CREATION = "memory creation";
const CREATE = "MemslotEngine.create";
const BARE = "memory bare";
const INSTANCE = "an instance and its memory";
/** The largest engine of the row M2. */
const DEFAULT_BYTES_MAX = 256 * 1024;
/** Targets of the bytes, which are the same on every machine. */
const BYTES_MAX: Readonly<Record<string, number>> = {
  "engine of 8 slots": 65536,
  "engine of 512 slots": 196608,
  "engine of 32764 slots": 10_000_000,
  "per slot at 8 slots": 100,
  "per slot at 512 slots": 300,
  "per slot at 32764 slots": 300,
  "per vCPU": 2048,
};
const BYTES = "memory bytes";
/** Each engine reserves address space for its memory until it is collected. */
const ENGINES_PER_BATCH = 4;
const WASM_PAGE = 65536;
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

/** What no engine can do without: an instance of the core, and a shared memory for it. */
async function bareEntrants(): Promise<Entrant[]> {
  const { handle, memory } = await MemslotEngine.create();
  const initial = memory.buffer.byteLength / WASM_PAGE;
  return [
    {
      name: INSTANCE,
      build: () => ({
        operations: ENGINES_PER_BATCH,
        batch() {
          let bytes = 0;
          for (let i = 0; i < ENGINES_PER_BATCH; i++) {
            const memory = new WebAssembly.Memory({ initial, maximum: 65536, shared: true });
            new WebAssembly.Instance(handle.module, { env: { memory } });
            bytes += memory.buffer.byteLength;
          }
          return bytes;
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
    { name: BARE, n: 512, unit: "engine", prepare: bareEntrants },
    { name: BYTES, n: 512, unit: "engine", prepare: byteEntrants },
  ];
}

function rows(results: Results, _scale: Scale): Row[] {
  const bytes = results.case(BYTES, 512)?.figures ?? [];
  return [
    {
      id: "M1",
      what: `creation of a default engine: ${CREATE} / ${INSTANCE}`,
      n: "512",
      target: 4,
      ...results.ratioOf([CREATION, 512, CREATE], [BARE, 512, INSTANCE]),
    },
    ...bytes.map(({ name, quartiles }, i) => ({
      id: i === 0 ? "M2" : "M3",
      what: name,
      n: "",
      unit: "bytes",
      measured: quartiles,
      target: BYTES_MAX[name] ?? DEFAULT_BYTES_MAX,
    })),
  ];
}

export const memory: Group = { name: "memory", about: "bytes, and the birth of an engine", cases, rows };
