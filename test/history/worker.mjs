/**
 * A thread of a history: a writer that commits lists, or a vCPU that looks into layouts. It notes what it did, when it
 * began and when it had ended, and judges nothing. Plain JavaScript, as a worker thread starts it.
 */
import { parentPort, workerData } from "node:worker_threads";
import { HVA_MMIO, MemslotEngine } from "memslots";

const { handle, role, index, seed, cells, pageBytes, log, control, breakage } = workerData;
const notes = new Float64Array(log);
const flags = new Int32Array(control);
/** One more entry fits into what is left. */
const ENTRY_MAX = 64;
let length = 1;

let state = seed >>> 0;
function below(n) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}

const engine = await MemslotEngine.attach(handle);
const idle = () => Atomics.load(flags, 1) === 0 && length + ENTRY_MAX < notes.length;
/** Nanoseconds of a clock that all threads share; no atomic access that could hide what the engine's lack. */
function now() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e9 + nanoseconds;
}

const addressOf = (cell) => (cell >> 1) * pageBytes;
const numberOf = (id, cell) => id * cells + cell;

/** A cell is a page of an address space: cell & 1. This writer's are those with its remainder by two writers. */
function write() {
  const own = Array.from({ length: cells }, (_, cell) => cell).filter((cell) => (cell >> 1) % 2 === index);
  const windows = new Map();
  const slots = new Set(own);
  let number = 1;
  while (idle()) {
    const id = 2 * number++ + index;
    // The first is a slot of address space 0, whose generation orders the commits.
    const first = own.filter((cell) => (cell & 1) === 0)[0];
    const touched = new Set([first, ...own.filter(() => below(3) === 0)]);
    const list = [];
    for (const cell of touched) {
      const slot = (cell & 1) * 0x1_0000 + (cell >> 1);
      const region = { slot, flags: 0, guestPhysAddr: addressOf(cell), memorySize: pageBytes };
      if (slots.has(cell)) list.push({ ...region, memorySize: 0, userspaceAddr: 0 });
      // Windows of an address space are one writer's.
      const isWindow = cell !== first && (cell & 1) === index && below(2) === 0;
      if (isWindow) {
        slots.delete(cell);
        windows.set(cell, id);
      } else {
        slots.add(cell);
        windows.delete(cell);
        list.push({ ...region, userspaceAddr: numberOf(id, cell) * pageBytes });
      }
    }
    const own0 = [...windows].map(([cell, device]) => ({
      gpa: addressOf(cell),
      bytes: pageBytes,
      device,
      offset: cell,
    }));
    const options = { wait: below(4) > 0, windows: index === 0 ? [own0] : [undefined, own0] };
    const begun = now();
    // On purpose: a list of two halves, between which anybody can look.
    if (breakage === "split") engine.setUserMemoryRegionList(list.slice(0, 2), { wait: false });
    const rest = breakage === "split" ? list.slice(2) : list;
    const { generation } = engine.setUserMemoryRegionList(rest, options);
    const ended = now();
    notes.set([begun, ended, id, generation, touched.size, ...touched], length);
    length += 5 + touched.size;
  }
}

function read() {
  const vcpu = engine.vcpu();
  let held = 0;
  while (idle()) {
    const count = 2 + below(7);
    const at = length + 3;
    const begun = now();
    vcpu.enter();
    for (let i = 0; i < count; i++) {
      const cell = below(cells);
      vcpu.asId = cell & 1;
      const hva = vcpu.resolve(addressOf(cell));
      notes[at + 2 * i] = cell;
      // A slot's value, or a window's; what is neither is below 0.
      if (hva >= 0) notes[at + 2 * i + 1] = hva / pageBytes;
      else if (hva === HVA_MMIO) notes[at + 2 * i + 1] = numberOf(vcpu.device, vcpu.offset);
      else notes[at + 2 * i + 1] = -1;
      // Long sections too, so that commits fall into them.
      if (below(40) === 0) for (held = below(2000); held > 0; held--);
    }
    vcpu.exit();
    const ended = now();
    notes[length] = begun;
    notes[length + 1] = ended;
    notes[length + 2] = count;
    length = at + 2 * count;
  }
  vcpu.release();
}

parentPort.postMessage("ready");
Atomics.wait(flags, 0, 0);
if (role === "writer") write();
else read();
notes[0] = length;
engine.close();
