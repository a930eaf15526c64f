/**
 * Guest accesses against a model that looks at one byte at a time: random slots and windows, random accesses
 * of every width that v86's wasm makes, v86 itself played by an array.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";
import { type MmioDevice, V86Map } from "memslots/v86";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SIZES } from "../../examples/v86/sizes.js";
import { dirtyPages } from "../support/bitmap.js";
import { random } from "../support/random.js";
import { PAGE } from "../support/region.js";
import { type Env, envOf, fakeV86 } from "./fake.js";

const BASE = 0xd000_0000;
const PAGES = 16;
const BYTES = PAGES * PAGE;
const SLOTS = 4;
const DEVICES = 2;
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const ROUNDS = 300;
const ACCESSES = 200;

interface SlotModel {
  first: number;
  pages: number;
  host: number;
  flags: number;
}

interface WindowModel {
  start: number;
  bytes: number;
  device?: number;
  hva?: number;
  readonly?: boolean;
  offset: number;
}

/** Memory as the guest sees it, byte by byte. Addresses are relative to BASE. */
class Model {
  slots: (SlotModel | undefined)[] = new Array(SLOTS).fill(undefined);
  windows: WindowModel[] = [];
  readonly dirty = new Set<number>();
  readonly memory: Uint8Array;
  readonly v86: Uint8Array;
  readonly registers: Uint8Array[];

  constructor(memory: Uint8Array, v86: Uint8Array, registers: Uint8Array[]) {
    this.memory = memory.slice();
    this.v86 = v86.slice();
    this.registers = registers.map((bytes) => bytes.slice());
  }

  #slot(at: number): SlotModel | undefined {
    const page = Math.floor(at / PAGE);
    return this.slots.find(
      (slot) => slot !== undefined && page >= slot.first && page < slot.first + slot.pages,
    );
  }

  /** The array and index of a byte; undefined where a write is dropped. */
  #place(at: number, write: boolean): [Uint8Array, number] | undefined {
    const slot = this.#slot(at);
    if (slot !== undefined && !(write && slot.flags & KVM_MEM_READONLY)) {
      return [this.memory, slot.host + at - slot.first * PAGE];
    }
    const window = this.windows.find(({ start, bytes }) => at >= start && at < start + bytes);
    if (window === undefined) return [this.v86, at];
    if (window.device !== undefined)
      return [this.registers[window.device]!, window.offset + at - window.start];
    return write && window.readonly ? undefined : [this.memory, window.hva! + at - window.start];
  }

  read(at: number): number {
    const [bytes, i] = this.#place(at, false)!;
    return bytes[i]!;
  }

  write(at: number, value: number): void {
    const place = this.#place(at, true);
    if (place !== undefined) place[0][place[1]] = value;
    const slot = this.#slot(at);
    if (slot && slot.flags & KVM_MEM_LOG_DIRTY_PAGES && !(slot.flags & KVM_MEM_READONLY)) {
      this.dirty.add(Math.floor(at / PAGE));
    }
  }
}

/** A device of plain registers. */
function registersDevice(bytes: Uint8Array): MmioDevice {
  return {
    read: (offset, size) => {
      let value = 0;
      for (let i = 0; i < size; i++) value += bytes[offset + i]! * 2 ** (8 * i);
      return value;
    },
    write: (offset, size, value) => {
      for (let i = 0; i < size; i++) bytes[offset + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
    },
  };
}

const { int, chance, pick, next } = random(SEED);

/** Slots that do not meet, READONLY and logged ones among them; some numbers are left out. */
function randomSlots(): (SlotModel | undefined)[] {
  let first = int(2);
  const flags = () => pick([0, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY]);
  const slots = Array.from({ length: SLOTS }, () => {
    const pages = 1 + int(3);
    const slot = { first, pages, host: int(PAGES - pages) * PAGE, flags: flags() };
    first += pages + int(2);
    return chance(0.7) && first <= PAGES ? slot : undefined;
  });
  return slots.sort(() => next() - 0.5);
}

/** Windows that do not meet, of a byte to more than a page. */
function randomWindows(): WindowModel[] {
  const windows: WindowModel[] = [];
  for (let start = int(3 * PAGE); start < BYTES; ) {
    const bytes = Math.min(chance(0.5) ? 1 + int(12) : 1 + int(2 * PAGE), BYTES - start);
    const offset = int(16);
    if (chance(0.6)) windows.push({ start, bytes, device: int(DEVICES), offset });
    else windows.push({ start, bytes, hva: int(BYTES - bytes), readonly: chance(0.3), offset });
    start += bytes + (chance(0.5) ? int(6) : int(2 * PAGE));
  }
  return windows;
}

function commit(map: V86Map, model: Model): void {
  const gone = map.slots().map((slot) => ({ ...slot, flags: 0, memorySize: 0 }));
  const slots = model.slots.flatMap((slot, i) => {
    if (slot === undefined) return [];
    const { first, pages, host, flags } = slot;
    const guestPhysAddr = BASE + first * PAGE;
    return [{ slot: i, flags, guestPhysAddr, memorySize: pages * PAGE, userspaceAddr: host }];
  });
  const windows = model.windows.map(({ start, bytes, device, hva, readonly, offset }) =>
    device === undefined
      ? { gpa: BASE + start, bytes, hva: hva!, readonly: readonly! }
      : { gpa: BASE + start, bytes, device, offset },
  );
  map.apply([...gone, ...slots], { windows });
}

/** One access of a random width, inside a page as v86 makes them, near the edges of windows now and then. */
function access(env: Env, model: Model): void {
  const edge = model.windows.length > 0 && chance(0.5) ? pick(model.windows) : undefined;
  const near = edge === undefined ? int(BYTES) : edge.start + pick([0, edge.bytes]) - int(8);
  const width = pick([1, 2, 4, 8, 16]);
  const inPage = Math.min(Math.max(near, 0) % PAGE, PAGE - width);
  const at = Math.min(Math.floor(Math.max(near, 0) / PAGE), PAGES - 1) * PAGE + inPage;
  const addr = (BASE + at) | 0;
  if (chance(0.5) && (width === 1 || width === 4)) {
    const value = width === 1 ? env.mmap_read8!(addr) : env.mmap_read32!(addr) >>> 0;
    let wanted = 0;
    for (let i = 0; i < width; i++) wanted += model.read(at + i) * 2 ** (8 * i);
    assert.is(value, wanted, `read of ${width} bytes at ${at}`);
    return;
  }
  const data = Array.from({ length: width }, () => int(256));
  const dword = (i: number) => data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24);
  if (width === 1) env.mmap_write8!(addr, data[0]!);
  else if (width === 2) env.mmap_write16!(addr, data[0]! | (data[1]! << 8));
  else if (width === 4) env.mmap_write32!(addr, dword(0));
  else if (width === 8) env.mmap_write64!(addr, dword(0), dword(4));
  else env.mmap_write128!(addr, dword(0), dword(4), dword(8), dword(12));
  for (const [i, byte] of data.entries()) model.write(at + i, byte);
}

function checkDirty(map: V86Map, model: Model): void {
  const found = map
    .slots()
    .filter(({ flags }) => flags & KVM_MEM_LOG_DIRTY_PAGES)
    .flatMap(({ slot, guestPhysAddr }) =>
      dirtyPages(map.getDirtyLog(slot)).map((page) => (guestPhysAddr - BASE) / PAGE + page),
    );
  assert.equal(
    found,
    [...model.dirty].sort((a, b) => a - b),
  );
  model.dirty.clear();
}

test("every access finds what the model says, and leaves it so", async () => {
  console.log(`seed ${SEED}`);
  const [memory, v86] = [new Uint8Array(BYTES), new Uint8Array(BYTES)];
  const registers = Array.from({ length: DEVICES }, () => new Uint8Array(BYTES));
  for (const bytes of [memory, v86, ...registers]) bytes.set(Array.from(bytes, () => int(256)));
  const model = new Model(memory, v86, registers);
  const map = await V86Map.create({ v86: SIZES, memory });
  for (const bytes of registers) map.addDevice(registersDevice(bytes));
  const env = await envOf(map, fakeV86(v86, BASE));
  for (let round = 0; round < ROUNDS; round++) {
    model.slots = randomSlots();
    model.windows = randomWindows();
    commit(map, model);
    for (let i = 0; i < ACCESSES; i++) {
      access(env, model);
      if (chance(0.02)) checkDirty(map, model);
    }
    checkDirty(map, model);
    assert.equal([memory, v86, ...registers], [model.memory, model.v86, ...model.registers]);
  }
  map.close();
});

test.run();
