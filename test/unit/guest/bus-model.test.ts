/**
 * guestMemory against a model that looks up each byte by itself: slots, windows over and under them, mirrors, stripes,
 * permissions, devices, watches, typed accesses, blocks, atomics, copies, under random lists. BUS_ACCESSES and
 * BUS_LISTS make it longer (`npm run stress:bus`).
 */
import {
  containsGuest,
  copyGuest,
  type Device,
  type GuestMemory,
  guestMemory,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type MmioWindow,
  KVM_MEM_READONLY as RO,
  type Slot,
  type Vcpu,
  type WatchedAccess,
  type WindowChange,
  watchGuest,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type BusAccess, type BusByte, BusModel } from "../../support/busmodel.js";
import { type Random, random } from "../../support/random.js";

const SEED = Number(process.env.SEED ?? 20);
const ACCESSES = Number(process.env.BUS_ACCESSES ?? 20_000);
const LISTS = Number(process.env.BUS_LISTS ?? 200);

const PAGE_SHIFT = 8;
const PAGE = 2 ** PAGE_SHIFT;
const PAGES = 12;
const BYTES = PAGES * PAGE;
const HOST_BYTES = 16 * PAGE;
const SLOTS = 5;
const SPACES = 2;
const DEVICES = 3;
const REGISTERS = 2 * BYTES;

/** The world under test, and the same as plain arrays. */
interface World {
  readonly rng: Random;
  readonly engine: MemslotEngine;
  readonly vcpu: Vcpu;
  readonly memory: GuestMemory;
  readonly model: BusModel;
  readonly host: Uint8Array;
  readonly flat: Uint8Array;
  /** Registers by device: those that the devices have, and the model's. */
  readonly registers: readonly Uint8Array[];
  readonly flatRegisters: readonly Uint8Array[];
  /** Bytes that holes were written with, "gpa byte". */
  readonly told: string[];
  littleEndian: boolean;
  readonly watched: WatchedAccess[];
  readonly watches: Watch[];
}

interface Watch {
  readonly gpa: number;
  readonly bytes: number;
  readonly reads: boolean;
  readonly writes: boolean;
  readonly fetches: boolean;
  readonly end: () => void;
}

/** What a hole reads as, byte by byte. */
const holeByte = (gpa: number) => (gpa * 7 + 3) & 0xff;

function integerOf(bytes: readonly number[], littleEndian: boolean): bigint {
  const ordered = littleEndian ? [...bytes].reverse() : bytes;
  return ordered.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

function bytesOf(value: number | bigint, bytes: number, littleEndian: boolean): number[] {
  const low = Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
  return littleEndian ? low : low.reverse();
}

/** Registers that are bytes, whatever the size of an access. */
function byteDevice(registers: Uint8Array, extra: Partial<Device>): Device {
  const order = (littleEndian: boolean) =>
    extra.endianness === undefined ? littleEndian : extra.endianness === "little";
  return {
    ...extra,
    read: (offset, size, littleEndian) =>
      integerOf([...registers.subarray(offset, offset + size)], order(littleEndian)),
    write: (offset, size, value, littleEndian) => {
      if (typeof value === "bigint" || value > 0xffff_ffff) assert.is(size, 8);
      registers.set(bytesOf(value, size, order(littleEndian)), offset);
    },
  };
}

async function createWorld(seed: number): Promise<World> {
  const rng = random(seed);
  const engine = await MemslotEngine.create({ pageShift: PAGE_SHIFT, addressSpaces: SPACES, maxSlots: 8 });
  const host = new Uint8Array(HOST_BYTES);
  for (let i = 0; i < host.length; i++) host[i] = rng.int(256);
  const registers = Array.from({ length: DEVICES }, (_, device) =>
    new Uint8Array(REGISTERS).map((_, i) => i * 5 + device),
  );
  const sizes: Partial<Device>[] = [
    {},
    { endianness: "little", impl: { minAccessSize: 1, maxAccessSize: 2 } },
    { endianness: "big", valid: { maxAccessSize: 4, unaligned: true } },
  ];
  const vcpu = engine.vcpu();
  const world: World = {
    rng,
    engine,
    vcpu,
    memory: guestMemory(engine, host, {
      vcpu,
      devices: registers.map((bytes, i) => byteDevice(bytes, sizes[i]!)),
      onHole: ({ gpa, bytes, write, value }) => {
        const places = Array.from({ length: bytes }, (_, i) => gpa + i);
        if (!write) return integerOf(places.map(holeByte), world.littleEndian);
        const stored = bytesOf(value, bytes, world.littleEndian);
        world.told.push(...places.map((place, i) => `${place} ${stored[i]}`));
        return 0;
      },
    }),
    model: new BusModel(PAGE, SPACES),
    host,
    flat: host.slice(),
    registers,
    flatRegisters: registers.map((bytes) => bytes.slice()),
    told: [],
    littleEndian: true,
    watched: [],
    watches: [],
  };
  return world;
}

// ---- lists ----

function drawWindow({ rng }: World, gpa: number, most: number): MmioWindow {
  const bytes = 1 + rng.int(Math.min(most, rng.chance(0.2) ? 5 * PAGE : PAGE));
  const over = rng.chance(0.5) ? { over: true } : {};
  const kind = rng.int(8);
  if (kind === 0) return { gpa, bytes, hole: true };
  if (kind < 3) return { gpa, bytes, device: rng.int(DEVICES), offset: rng.int(BYTES), ...over };
  if (kind < 5) {
    const hva = rng.int(HOST_BYTES - bytes);
    return { gpa, bytes, hva, readonly: rng.chance(0.3), ...over };
  }
  const unit = 2 ** rng.int(3);
  return {
    gpa,
    bytes,
    mirrorOf: rng.int(BYTES),
    period: 1 + rng.int(rng.chance(0.3) ? 16 : 2 * PAGE),
    asId: rng.int(SPACES),
    readonly: rng.chance(0.2),
    ...over,
    ...(rng.chance(0.3) ? { stripe: { unit, ways: 2 ** rng.int(3) } } : {}),
  };
}

/** Windows of an address space, drawn anew. */
function drawWindows(world: World): MmioWindow[] {
  const { rng } = world;
  const windows: MmioWindow[] = [];
  for (let gpa = rng.int(PAGE); gpa < BYTES; gpa += 1 + rng.int(2 * PAGE)) {
    const window = drawWindow(world, gpa, BYTES - gpa);
    windows.push(window);
    gpa += window.bytes;
  }
  return windows;
}

const meets = (a: MmioWindow, b: MmioWindow) => a.gpa < b.gpa + b.bytes && b.gpa < a.gpa + a.bytes;

/** Some windows go, some come where there is room. */
function drawChanges(world: World, asId: number): { changes: WindowChange[]; after: MmioWindow[] } {
  const { rng, model } = world;
  const changes: WindowChange[] = [];
  let after = model.windows[asId]!;
  for (let i = rng.int(4); i >= 0; i--) {
    const victim = after.length > 0 && rng.chance(0.6) ? rng.pick(model.windows[asId]!) : undefined;
    const gone = victim !== undefined && after.includes(victim) ? victim : undefined;
    const gpa = rng.int(BYTES - 1);
    const added = rng.chance(0.7) ? drawWindow(world, gpa, BYTES - gpa) : undefined;
    const left = after.filter((window) => window !== gone);
    const fits = added !== undefined && !left.some((window) => meets(window, added));
    changes.push({ asId, ...(gone ? { remove: gone.gpa } : {}), ...(fits ? { add: added } : {}) });
    after = fits ? [...left, added] : left;
  }
  return { changes, after };
}

function drawSlot({ rng, model }: World): Slot {
  const asId = rng.int(SPACES);
  const id = rng.int(SLOTS);
  const npages = rng.chance(0.3) && model.slots[asId]!.has(id) ? 0 : 1 + rng.int(4);
  return {
    slot: (asId << 16) | id,
    guestPhysAddr: rng.int(PAGES - npages + 1) * PAGE,
    memorySize: npages * PAGE,
    userspaceAddr: rng.int(HOST_BYTES / PAGE - npages + 1) * PAGE,
    flags: npages === 0 ? 0 : rng.pick([0, 0, LOG, LOG, RO, RO | LOG]),
  };
}

/** One random commit, on the engine and on the model. */
function change(world: World): void {
  const { rng, engine, model } = world;
  const list: Slot[] = [];
  for (let i = rng.int(3); i > 0; i--) {
    const slot = drawSlot(world);
    const [asId, id] = [slot.slot >> 16, slot.slot & 0xffff];
    const known = model.slots[asId]!.get(id);
    const others = [...model.slots[asId]!.values()].filter((other) => other.slot !== slot.slot);
    const end = slot.guestPhysAddr + slot.memorySize;
    const free = others.every(
      (other) => other.guestPhysAddr >= end || other.guestPhysAddr + other.memorySize <= slot.guestPhysAddr,
    );
    if (!free) continue;
    // A slot of another size or host address is made anew: its log begins empty.
    if (known !== undefined) list.push({ ...known, memorySize: 0, flags: 0 });
    if (slot.memorySize > 0) list.push(slot);
    model.slots[asId]!.delete(id);
    if (slot.memorySize > 0) model.slots[asId]!.set(id, slot);
  }
  const windows: (MmioWindow[] | undefined)[] = [];
  const windowChanges: WindowChange[] = [];
  for (let asId = 0; asId < SPACES; asId++) {
    if (rng.chance(0.2)) model.windows[asId] = windows[asId] = drawWindows(world);
    else if (rng.chance(0.5)) {
      const { changes, after } = drawChanges(world, asId);
      windowChanges.push(...changes);
      model.windows[asId] = after;
    }
  }
  const attributes = Array.from({ length: rng.chance(0.3) ? 1 + rng.int(2) : 0 }, () => {
    const npages = 1 + rng.int(2);
    const first = rng.int(PAGES - npages);
    const bits = rng.pick([0, 0, 0, 1, 2, 3, 4, 8]);
    for (let page = first; page < first + npages; page++) model.attributes.set(page, bits);
    return { address: first * PAGE, size: npages * PAGE, attributes: bits };
  });
  engine.setUserMemoryRegionList(list, { windows, windowChanges, attributes });
  // Only what is written from now on counts: the bits that a list carries over are another test's.
  harvest(world);
  model.dirty.clear();
}

function harvest({ engine, model }: World): Set<string> {
  const dirty = new Set<string>();
  for (const slot of model.slots.flatMap((slots) => [...slots.values()])) {
    if ((slot.flags & LOG) === 0) continue;
    for (const [i, byte] of engine.getDirtyLog(slot.slot).entries()) {
      for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) dirty.add(`${slot.slot} ${8 * i + bit}`);
    }
  }
  return dirty;
}

// ---- accesses ----

/** The bytes of a typed load; the model's watches and holes with it. */
function modelLoad(world: World, bytes: readonly BusByte[], gpa: number): number[] {
  return bytes.map((byte, i) => {
    if (byte.kind === "memory") return world.flat[byte.hva]!;
    if (byte.kind === "device") return world.flatRegisters[byte.device]![byte.offset]!;
    return holeByte(gpa + i);
  });
}

function modelStore(world: World, bytes: readonly BusByte[], gpa: number, data: readonly number[]): string[] {
  const told: string[] = [];
  for (const [i, byte] of bytes.entries()) {
    if (byte.kind === "memory") {
      world.flat[byte.hva] = data[i]!;
      if (byte.page !== undefined) world.model.dirty.add(byte.page);
    } else if (byte.kind === "device") world.flatRegisters[byte.device]![byte.offset] = data[i]!;
    else told.push(`${gpa + i} ${data[i]}`);
  }
  return told;
}

const lookUp = ({ model, vcpu }: World, gpa: number, bytes: number, access: BusAccess) =>
  Array.from({ length: bytes }, (_, i) => model.at(vcpu.asId, gpa + i, access));

const WIDTHS = [1, 2, 4, 8] as const;

function typedAccess(world: World): void {
  const { rng, memory } = world;
  const size = rng.pick(WIDTHS);
  const gpa = rng.int(BYTES);
  const littleEndian = rng.chance(0.5);
  world.littleEndian = littleEndian;
  const access = rng.pick(["read", "write", "write", "fetch"] as const);
  const told = world.told.length;
  if (access === "write") {
    const value = BigInt(rng.int(2 ** 32)) * 0x1_0001_0001n;
    const bytes = bytesOf(value, size, littleEndian);
    const at = lookUp(world, gpa, size, access);
    const expected = modelStore(world, at, gpa, bytes);
    const number = Number(BigInt.asUintN(8 * size, value));
    if (size === 1) memory.setUint8(gpa, number);
    else if (size === 2) memory.setUint16(gpa, number, littleEndian);
    else if (size === 4) memory.setUint32(gpa, number, littleEndian);
    else memory.setBigUint64(gpa, BigInt.asUintN(64, value), littleEndian);
    assert.equal(world.told.slice(told), expected, `store of ${size} at ${gpa}`);
    return;
  }
  if (access === "fetch" && size === 8) return;
  const expected = integerOf(modelLoad(world, lookUp(world, gpa, size, access), gpa), littleEndian);
  const fetched = access === "fetch";
  const value =
    size === 1
      ? fetched
        ? memory.fetchUint8(gpa)
        : memory.getUint8(gpa)
      : size === 2
        ? fetched
          ? memory.fetchUint16(gpa, littleEndian)
          : memory.getUint16(gpa, littleEndian)
        : size === 4
          ? fetched
            ? memory.fetchUint32(gpa, littleEndian)
            : memory.getUint32(gpa, littleEndian)
          : memory.getBigUint64(gpa, littleEndian);
  assert.is(BigInt(value), expected, `${access} of ${size} at ${gpa}`);
}

/** Bytes of memory from `gpa` on, up to the first that is none. */
function memoryBytes(
  world: World,
  gpa: number,
  bytes: number,
  access: BusAccess,
): { hva: number; page?: string }[] {
  const found: { hva: number; page?: string }[] = [];
  for (const byte of lookUp(world, gpa, bytes, access)) {
    if (byte.kind !== "memory") break;
    found.push({ hva: byte.hva, ...(byte.page === undefined ? {} : { page: byte.page }) });
  }
  return found;
}

function blockAccess(world: World): void {
  const { rng, memory, flat, model } = world;
  const gpa = rng.int(BYTES);
  const bytes = rng.int(3 * PAGE);
  const write = rng.chance(0.5);
  const found = memoryBytes(world, gpa, bytes, write ? "write" : "read");
  world.littleEndian = true;
  if (write) {
    // A byte that two guest addresses show is written twice, in order.
    const data = new Uint8Array(bytes).map(() => rng.int(256));
    for (const [i, { hva, page }] of found.entries()) {
      flat[hva] = data[i]!;
      if (page !== undefined) model.dirty.add(page);
    }
    assert.is(memory.write(gpa, data), found.length, `write at ${gpa}`);
    return;
  }
  const data = rng.chance(0.5) ? new Uint8ClampedArray(bytes) : new Uint8Array(bytes);
  assert.is(memory.read(gpa, data), found.length, `read at ${gpa}`);
  assert.equal(
    [...data.subarray(0, found.length)],
    found.map(({ hva }) => flat[hva]),
    `read at ${gpa}`,
  );
}

function copyAccess(world: World): void {
  const { rng, memory, flat, model } = world;
  const [from, to] = [rng.int(BYTES), rng.int(BYTES)];
  const bytes = 1 + rng.int(PAGE);
  const reads = memoryBytes(world, from, bytes, "read");
  const writes = memoryBytes(world, to, bytes, "write");
  assert.is(containsGuest(memory, from, bytes), reads.length === bytes);
  assert.is(containsGuest(memory, to, bytes, { write: true }), writes.length === bytes);
  if (reads.length < bytes || writes.length < bytes) {
    assert.throws(() => copyGuest(memory, to, from, bytes), /EFAULT/);
    return;
  }
  const data = reads.map(({ hva }) => flat[hva]!);
  for (const [i, { hva, page }] of writes.entries()) {
    flat[hva] = data[i]!;
    if (page !== undefined) model.dirty.add(page);
  }
  copyGuest(memory, to, from, bytes);
}

function atomicAccess(world: World): void {
  const { rng, memory, flat, model } = world;
  const gpa = rng.int(BYTES / 4) * 4;
  const found = memoryBytes(world, gpa, 4, "write");
  const hva = found[0]?.hva ?? 0;
  const joined = found.length === 4 && hva % 4 === 0 && found.every((byte, i) => byte.hva === hva + i);
  // One that lies in two windows is told as a hole, even if their memory is one.
  if (!joined) return;
  const view = new DataView(flat.buffer);
  const told = world.told.length;
  const before = view.getUint32(hva, true);
  const answer = memory.atomics.add(gpa, 32, 0x01010101);
  if (world.told.length > told) {
    world.told.length = told;
    return;
  }
  assert.is(answer, before, `atomic at ${gpa}`);
  view.setUint32(hva, before + 0x01010101, true);
  for (const { page } of found) if (page !== undefined) model.dirty.add(page);
}

function changeWatches(world: World): void {
  const { rng, memory, watches } = world;
  while (watches.length > 0 && rng.chance(0.5)) watches.pop()!.end();
  while (watches.length < 4 && rng.chance(0.5)) {
    const kinds = { reads: rng.chance(0.4), writes: rng.chance(0.8), fetches: rng.chance(0.2) };
    const range = { gpa: rng.int(BYTES), bytes: 1 + rng.int(rng.chance(0.5) ? 8 : PAGE) };
    const end = watchGuest(memory, { ...range, ...kinds }, (access) => world.watched.push(access));
    watches.push({ ...range, ...kinds, end });
  }
}

/** A typed access with watches: told once for each that its bytes meet. */
function watchedAccess(world: World): void {
  const { rng, memory, watches, vcpu, model } = world;
  const gpa = rng.int(BYTES);
  const write = rng.chance(0.5);
  world.watched.length = 0;
  world.littleEndian = true;
  const access = write ? "write" : "read";
  const places = lookUp(world, gpa, 4, access);
  if (write) {
    modelStore(world, places, gpa, bytesOf(0x04030201, 4, true));
    memory.setUint32(gpa, 0x04030201, true);
  } else memory.getUint32(gpa, true);
  // Mirrors are another test's.
  const mirrored = model.windows[vcpu.asId]!.some(
    (window) => "mirrorOf" in window && window.gpa < gpa + 4 && gpa < window.gpa + window.bytes,
  );
  if (mirrored) return;
  const value = write ? 0x04030201 : Number(integerOf(modelLoad(world, places, gpa), true));
  const expected = watches.filter(
    (watch) => (write ? watch.writes : watch.reads) && watch.gpa < gpa + 4 && gpa < watch.gpa + watch.bytes,
  );
  assert.equal(
    world.watched,
    expected.map(() => ({ gpa, bytes: 4, value, write })),
    `watches of ${access} at ${gpa}`,
  );
}

/** @param broken the model is wrong on purpose */
async function compare(accesses: number, lists: number, broken: boolean): Promise<void> {
  const worlds = Math.ceil(lists / 100);
  const perList = Math.ceil(accesses / lists);
  for (let n = 0; n < worlds; n++) {
    const world = await createWorld(SEED * 1000 + n);
    world.model.broken = broken;
    const { rng, vcpu } = world;
    for (let list = 0; list < lists / worlds; list++) {
      change(world);
      const inside = rng.chance(0.7);
      vcpu.asId = rng.int(SPACES);
      if (inside) vcpu.enter();
      for (let i = 0; i < perList; i++) {
        const kind = rng.int(20);
        if (kind < 15) typedAccess(world);
        else if (kind < 16) blockAccess(world);
        else if (kind < 17) copyAccess(world);
        else if (kind < 18) atomicAccess(world);
        else if (kind < 19) watchedAccess(world);
        else if (rng.chance(0.1)) changeWatches(world);
      }
      if (inside) vcpu.exit();
      assert.equal(harvest(world), world.model.dirty, "dirty pages");
      world.model.dirty.clear();
    }
    assert.equal(world.host, world.flat, "host memory");
    for (const [i, bytes] of world.registers.entries()) assert.equal(bytes, world.flatRegisters[i]);
    world.engine.close();
  }
}

test(`${ACCESSES} accesses and ${LISTS} lists are as the model has them, byte for byte`, async () => {
  console.log(`seed ${SEED}`);
  await compare(ACCESSES, LISTS, false);
});

test("a model that is wrong in one rule is noticed", async () => {
  const failed = await compare(2000, 20, true).then(
    () => false,
    () => true,
  );
  assert.ok(failed);
});

test.run();
