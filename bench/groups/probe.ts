/** The TLB's probe inside wasm, as an emulator inlines it, against a load from a flat memory. */
import { random } from "../../test/support/random.js";
import { PAGE_BYTES } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import type { Case, Entrant, Results, Row, Scale } from "../harness/case.js";

const CASE = "access: inlined probe, 192 pages in 64 slots at random";
const PROBE = "TLB probe";
const FLAT = "flat load";
const SLOTS = 64;
/** Pages of a slot. They fit into the TLB. */
const NPAGES = 3;
const TLB_ENTRIES = 1024;
const RAM_GPA = 2 ** 31;
const WORD_BYTES = 4;

async function entrants(count: number): Promise<Entrant[]> {
  const bytes = SLOTS * NPAGES * PAGE_BYTES;
  const arena = await Arena.create(bytes + 2 * count * WORD_BYTES + PAGE_BYTES, { maxSlots: SLOTS });
  const hva = arena.take(bytes + PAGE_BYTES);
  const first = Math.ceil(hva / PAGE_BYTES) * PAGE_BYTES;
  const slotBytes = NPAGES * PAGE_BYTES;
  // Guest memory has gaps, and host memory the slots in reverse: no two slots are one.
  const gpaOf = (slot: number) => RAM_GPA + 2 * slot * slotBytes;
  const hvaOf = (slot: number) => first + (SLOTS - 1 - slot) * slotBytes;
  arena.engine.setUserMemoryRegionList(
    Array.from({ length: SLOTS }, (_, slot) => ({
      slot,
      flags: 0,
      guestPhysAddr: gpaOf(slot),
      memorySize: slotBytes,
      userspaceAddr: hvaOf(slot),
    })),
  );
  const { buffer } = arena.memory;
  const words = new Uint32Array(buffer, first, bytes / WORD_BYTES);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e3779b1);
  const gpas = new Uint32Array(buffer, arena.take(count * WORD_BYTES), count);
  const hvas = new Uint32Array(buffer, arena.take(count * WORD_BYTES), count);
  const rng = random(SLOTS);
  for (let i = 0; i < count; i++) {
    const slot = rng.int(SLOTS);
    const offset = WORD_BYTES * rng.int(slotBytes / WORD_BYTES);
    gpas[i] = gpaOf(slot) + offset;
    hvas[i] = hvaOf(slot) + offset;
  }
  const { loops, engine } = arena;
  const vcpu = engine.vcpu({ tlbEntries: TLB_ENTRIES });
  vcpu.enter();
  const entrant = (name: string, batch: () => number): Entrant => ({
    name,
    build: () => ({ operations: count, batch }),
  });
  return [
    entrant(PROBE, () => loops.loadProbed(vcpu.reader, gpas.byteOffset, count)),
    entrant(FLAT, () => loops.loadFlat(hvas.byteOffset, count)),
  ];
}

export function probeCases({ jsKeys }: Scale): Case[] {
  return [{ name: CASE, n: SLOTS, unit: "access", prepare: () => entrants(jsKeys) }];
}

export function probeRows(results: Results): Row[] {
  const measured = results.ratio(CASE, SLOTS, PROBE, FLAT);
  return [{ id: "A13", what: `${CASE}: ${PROBE} / ${FLAT}`, n: String(SLOTS), target: 4, ...measured }];
}
