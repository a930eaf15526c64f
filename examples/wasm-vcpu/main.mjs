/**
 * A vCPU in WebAssembly that calls the engine from wasm to wasm. Engine, guest RAM and vCPU share one memory, so a
 * host address is an address of that memory, and no word of the guest passes through JavaScript.
 *
 *   node examples/wasm-vcpu/main.mjs        the vCPU in the text format
 *   node examples/wasm-vcpu/main.mjs c      the same in C; needs clang
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, MemslotEngine } from "memslots";
import { buildVcpu, hasClang } from "./build.mjs";

const source = process.argv[2] ?? "wat";
if (source === "c" && !hasClang()) {
  console.log("skipped: no clang for wasm32");
  process.exit();
}

// [0, 128 KiB) data of the vCPU, [128 KiB, 1 MiB) RAM of the guest, then the engine.
const RAM = 0x20000;
const ENGINE = 0x100000;
const memory = new WebAssembly.Memory({ initial: 16, maximum: 1024, shared: true });
const engine = await MemslotEngine.create({ memory, base: ENGINE });
const core = new WebAssembly.Instance(engine.handle.module, { env: { memory } }).exports;
const vcpu = new WebAssembly.Instance(new WebAssembly.Module(buildVcpu(source)), {
  env: { memory },
  memslots: core,
}).exports;

// Four banks of 64 KiB, each filled with its number. The guest sees two of them at 0 and 0x10000.
const BANK = 0x10000;
const words = new Int32Array(memory.buffer);
for (let bank = 0; bank < 4; bank++) {
  words.fill(bank + 1, (RAM + bank * BANK) / 4, (RAM + (bank + 1) * BANK) / 4);
}
const region = (slot, guestPhysAddr, bank, flags = 0) => {
  return { slot, flags, guestPhysAddr, memorySize: BANK, userspaceAddr: RAM + bank * BANK };
};
engine.setUserMemoryRegionList([
  region(0, 0, 0, KVM_MEM_LOG_DIRTY_PAGES),
  region(1, BANK, 1, KVM_MEM_READONLY),
]);

const { reader } = engine.vcpu();
const look = (what) => {
  const sum = vcpu.sum(reader, 0, (3 * BANK) / 4);
  console.log(`${what}: sum ${sum}, ${vcpu.holes()} words of holes`);
};
look("banks 0 and 1");
console.log("stores:", vcpu.store(reader, 0x1000, 100), vcpu.store(reader, BANK, 100));
console.log("dirty pages:", engine.getDirtyLog(0)[0].toString(2));

// Bank switching: both slots move to other host memory in one publication.
engine.setUserMemoryRegionList([
  { ...region(0, 0, 0), memorySize: 0 },
  { ...region(1, 0, 0), memorySize: 0 },
  region(0, 0, 2),
  region(1, BANK, 3),
]);
look("banks 2 and 3");

const LOADS = 2 * (BANK / 4);
const ROUNDS = 20;
const start = performance.now();
for (let i = 0; i < ROUNDS; i++) vcpu.sum(reader, 0, LOADS);
console.error(
  `${(((performance.now() - start) * 1e6) / ROUNDS / LOADS).toFixed(1)} ns a load, loop included`,
);
