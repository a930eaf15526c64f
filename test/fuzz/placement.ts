/** Engines anywhere in a caller's memory: none writes a byte outside of its own, made or refused, working or closed. */
import * as assert from "node:assert/strict";
import fc from "fast-check";
import { MemslotEngine } from "memslots";

const WASM_PAGE = 65536;
const CANARY = 0xa5;
const GUEST_PAGE = 4096;

const place = fc.oneof(
  fc.integer({ min: 0, max: 24 * 1024 }).map((unit) => unit * 64),
  fc.nat(24 * WASM_PAGE),
  fc.constantFrom(0, 64, -64, 2 ** 31, 2 ** 32 - 64, 2 ** 32, 1.5, Number.NaN),
);
const options = fc.record(
  {
    base: place,
    size: place,
    maxSlots: fc.constantFrom(1, 2, 40, 512, 32764),
    maxVcpus: fc.constantFrom(1, 2, 16),
    addressSpaces: fc.constantFrom(1, 2, 4),
    maxListEntries: fc.constantFrom(1, 4, 4096),
    pageShift: fc.constantFrom(12, 14, 8),
  },
  { requiredKeys: [] },
);
const pages = fc.record({ initial: fc.integer({ min: 0, max: 20 }), more: fc.integer({ min: 0, max: 20 }) });

function work(engine: MemslotEngine): void {
  const page = Math.max(GUEST_PAGE, 2 ** 14);
  for (let round = 0; round < 6; round++) {
    const list = [0, 1, 2].map((slot) => ({
      slot,
      flags: round % 2,
      guestPhysAddr: (slot * 4 + round) * page,
      memorySize: round === 5 ? 0 : (64 << round) * page,
      userspaceAddr: slot * page,
    }));
    for (const region of list) {
      try {
        engine.setUserMemoryRegion(region);
      } catch (error) {
        assert.equal((error as Error).name, "KvmError");
      }
    }
    engine.gpaToHva(round * page);
  }
}

export const placement = fc.asyncProperty(
  pages,
  options,
  fc.boolean(),
  async ({ initial, more }, given, shared) => {
    const maximum = initial + more;
    const memory = new WebAssembly.Memory({ initial, maximum, shared });
    const bytes = memory.buffer.byteLength;
    new Uint8Array(memory.buffer).fill(CANARY);
    let engine: MemslotEngine | undefined;
    try {
      engine = await MemslotEngine.create({ ...given, memory });
    } catch (error) {
      assert.match((error as Error).name, /^(?:KvmError|TypeError|RangeError)$/, String(error));
    }
    if (engine !== undefined) work(engine);
    const now = new Uint8Array(memory.buffer);
    // One that was refused may have begun where it was told to be.
    const start = Math.min(bytes, engine?.base ?? given.base ?? bytes);
    const end = given.size === undefined ? bytes : Math.min(bytes, start + given.size);
    const isForeign = (at: number) => at < start || at >= end;
    engine?.close();
    const touched = now.subarray(0, bytes).findIndex((byte, at) => byte !== CANARY && isForeign(at));
    assert.equal(touched, -1, `byte ${touched} is not the engine's`);
  },
);
