/**
 * Linux in a page: xterm is the console, each hart a worker, and this thread changes the map under them, takes a
 * snapshot, and goes back to it. Above the terminal are the slots, beside it the pages that the guest writes, one point
 * each, fading.
 */
import { Terminal } from "@xterm/xterm";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";
import { applyAsync, type Change, MOVED_BYTES, roundOf, wholeRam } from "../changes.js";
import { COMMAND_LINE, dataFiles, initrdOf, TYPED } from "../initrd.js";
import { type Guest, Machine, type Snapshot, type StartThread } from "../machine.js";

const RAM_BYTES = 192 << 20;
const HARTS = 2;
const PAGE_BYTES = 4096;
const COLUMNS = 256;
const FRAME_MS = 100;
/** Of a point, by frame. */
const FADE = 24;

const startThread: StartThread = (task, onMessage, onError) => {
  const worker = new Worker(new URL("worker.js", location.href), { type: "module" });
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = ({ message }) => onError(new Error(message));
  worker.postMessage(task);
  return worker;
};

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

async function fetched(name: string): Promise<Response> {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response;
}

/** A file of the guest: the server's, or the visitor's where the server has none. */
async function guestFile(name: string, isServed: boolean): Promise<Uint8Array> {
  if (isServed) return new Uint8Array(await (await fetched(name)).arrayBuffer());
  element("guest").hidden = false;
  const input = element<HTMLInputElement>(name);
  const file = await new Promise<File>((resolve) => {
    input.onchange = () => {
      if (input.files?.[0] !== undefined) resolve(input.files[0]);
    };
  });
  return new Uint8Array(await file.arrayBuffer());
}

async function loadGuest(): Promise<Guest> {
  const served: readonly string[] = await (await fetched("guest.json")).json();
  const [kernel, busybox] = await Promise.all(
    ["linux", "busybox"].map((name) => guestFile(name, served.includes(name))),
  );
  element("guest").hidden = true;
  return { kernel: kernel!, initrd: initrdOf(busybox!, dataFiles(), TYPED), commandLine: COMMAND_LINE };
}

function drawSlots(machine: Machine): void {
  const bars = machine.engine.slots().map(({ slot, flags, guestPhysAddr, memorySize, userspaceAddr }) => {
    const bar = document.createElement("div");
    bar.style.flexGrow = String(memorySize);
    bar.classList.toggle("logged", (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0);
    bar.classList.toggle("readonly", (flags & KVM_MEM_READONLY) !== 0);
    const isMoved = userspaceAddr - machine.ramHva !== guestPhysAddr - wholeRam(machine).guestPhysAddr;
    bar.classList.toggle("moved", isMoved);
    bar.textContent = String(slot);
    bar.title = `slot ${slot}, ${memorySize / 2 ** 20} MiB${isMoved ? ", in other host memory" : ""}`;
    return bar;
  });
  element("slots").replaceChildren(...bars);
}

/** Draws the pages that are dirty since the last frame over those of before. */
function dirtyPicture(): (machine: Machine) => void {
  const canvas = element<HTMLCanvasElement>("dirty");
  canvas.width = COLUMNS;
  canvas.height = RAM_BYTES / PAGE_BYTES / COLUMNS;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(canvas.width, canvas.height);
  const { data } = image;
  return (machine) => {
    const base = wholeRam(machine).guestPhysAddr;
    for (let i = 0; i < data.length; i += 4) {
      data[i] = Math.max(24, data[i]! - FADE);
      data[i + 1] = Math.max(28, data[i + 1]! - FADE);
      data[i + 2] = 34;
      data[i + 3] = 255;
    }
    for (const { slot, flags, guestPhysAddr } of machine.engine.slots()) {
      if ((flags & KVM_MEM_LOG_DIRTY_PAGES) === 0) continue;
      const first = (guestPhysAddr - base) / PAGE_BYTES;
      for (const [i, bits] of machine.engine.getDirtyLog(slot).entries()) {
        for (let bit = 0; bit < 8; bit++) {
          if ((bits >> bit) & 1) data.set([255, 196], (first + i * 8 + bit) * 4);
        }
      }
    }
    context.putImageData(image, 0, 0);
  };
}

/** The machine, and what the buttons do to it: one thing after the other. */
class Desk {
  #machine: Machine;
  readonly #options: Parameters<typeof Machine.restore>[0];
  /** The rest of the present round. */
  #changes: Change[] = [];
  #commits = 0;
  #snapshot: (Snapshot & { readonly changes: readonly Change[] }) | undefined;
  #instructions: number[] = [];
  #drawn = 0;
  #last: Promise<void> = Promise.resolve();
  readonly #picture = dirtyPicture();

  constructor(machine: Machine, options: Parameters<typeof Machine.restore>[0]) {
    this.#options = options;
    this.#machine = machine;
    this.#use(machine);
  }

  #use(machine: Machine): void {
    this.#machine = machine;
    void machine.ended.then((end) => {
      if (machine === this.#machine) element("status").textContent = end;
    });
  }

  type(text: string): void {
    this.#machine.type(text);
  }

  /** Do it once all before it is done. A failure is the page's: nobody waits for this. */
  do(what: () => Promise<void> | void): Promise<void> {
    this.#last = this.#last.then(what);
    return this.#last;
  }

  async change(): Promise<Change["what"]> {
    if (this.#changes.length === 0) {
      this.#changes = roundOf(this.#machine, (n) => Math.floor(Math.random() * n));
    }
    const change = this.#changes.shift()!;
    await applyAsync(this.#machine, change);
    this.#commits++;
    return change.what;
  }

  /** Go on in the round until such a change has been made. */
  async changeUntil(what: Change["what"]): Promise<void> {
    while ((await this.change()) !== what);
  }

  async save(): Promise<void> {
    await this.#machine.holdAsync();
    this.#snapshot = { ...this.#machine.save(), changes: [...this.#changes] };
    this.#machine.go();
    element<HTMLButtonElement>("restore").disabled = false;
  }

  /** The machine of the snapshot, in the place of the present one. */
  async restore(): Promise<void> {
    await this.#machine.end();
    this.#use(await Machine.restore(this.#options, this.#snapshot!));
    this.#changes = [...this.#snapshot!.changes];
    this.#machine.go();
  }

  draw(): void {
    const machine = this.#machine;
    machine.drain();
    drawSlots(machine);
    this.#picture(machine);
    const now = performance.now();
    const counts = Array.from({ length: machine.harts }, (_, hart) => machine.counts(hart).instructions);
    const speeds = counts.map((count, hart) => {
      const mips = Math.max(0, count - (this.#instructions[hart] ?? 0)) / (now - this.#drawn) / 1000;
      return `hart ${hart} ${mips.toFixed(0)} MIPS`;
    });
    this.#instructions = counts;
    this.#drawn = now;
    element("status").textContent = [...speeds, `${this.#commits} changes of the map`].join(", ");
  }
}

function connect(desk: Desk): void {
  const on = (id: string, what: () => Promise<void>) => {
    element(id).onclick = () => void desk.do(what);
  };
  for (const what of ["split", "move", "merge"] as const) on(what, () => desk.changeUntil(what));
  on("save", () => desk.save());
  on("restore", () => desk.restore());
  const storm = element("storm");
  storm.onclick = () => {
    const isOn = storm.getAttribute("aria-pressed") === "false";
    storm.setAttribute("aria-pressed", String(isOn));
    const next = async () => {
      if (storm.getAttribute("aria-pressed") === "false") return;
      await desk.do(async () => void (await desk.change()));
      setTimeout(next);
    };
    if (isOn) void next();
  };
  element<HTMLFieldSetElement>("buttons").disabled = false;
  // One picture waits at most: on a slow machine the buttons would else come after all that were missed.
  let waits = false;
  setInterval(() => {
    if (waits) return;
    waits = true;
    void desk.do(() => {
      waits = false;
      desk.draw();
    });
  }, FRAME_MS);
}

async function main(): Promise<void> {
  const terminal = new Terminal({ convertEol: true, fontSize: 13 });
  terminal.open(element("terminal"));
  const [module, guest] = await Promise.all([WebAssembly.compileStreaming(fetch("hart.wasm")), loadGuest()]);
  const options = { module, start: startThread, print: (bytes: Uint8Array) => terminal.write(bytes) };
  const machine = await Machine.create({
    ...options,
    harts: HARTS,
    ramBytes: RAM_BYTES,
    spareBytes: MOVED_BYTES,
  });
  await machine.engine.setUserMemoryRegionListAsync([
    { ...wholeRam(machine), flags: KVM_MEM_LOG_DIRTY_PAGES },
  ]);
  await machine.boot(guest);
  const desk = new Desk(machine, options);
  terminal.onData((text) => desk.type(text));
  machine.go();
  terminal.focus();
  connect(desk);
}

addEventListener("unhandledrejection", ({ reason }) => {
  element("status").textContent = String(reason);
});
await main();
