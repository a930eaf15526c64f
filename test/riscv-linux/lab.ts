/**
 * One hart without threads, over RAM of its own: for tests that look at single instructions.
 */
import { MemslotEngine, type Slot, type Vcpu } from "memslots";
import { compileHart, type HartBuild, type Mutation } from "../../examples/riscv-linux/build.js";
import { type HartExports, instantiateHart } from "../../examples/riscv-linux/exports.js";
import { RAM } from "../../examples/riscv-linux/map.js";

export const RAM_BYTES = 4 << 20;
const RAM_HVA = 0x1_0000;
const PAGE_BYTES = 0x1_0000;

/** CSRs by their numbers. */
export const CSR = {
  fcsr: 0x003,
  sstatus: 0x100,
  stvec: 0x105,
  sepc: 0x141,
  scause: 0x142,
  stval: 0x143,
  satp: 0x180,
} as const;

export class HartLab {
  readonly build: HartBuild;
  readonly engine: MemslotEngine;
  readonly exports: HartExports;
  readonly memory: WebAssembly.Memory;
  /** Address of the hart's state. */
  readonly hart: number;
  /** Ticks of the clock that the hart sees. */
  time = 0;
  readonly #vcpu: Vcpu;

  private constructor(build: HartBuild, module: WebAssembly.Module, engine: MemslotEngine) {
    this.build = build;
    this.engine = engine;
    this.memory = engine.memory;
    this.#vcpu = engine.vcpu({ tlbEntries: 256 });
    const raw = new WebAssembly.Instance(engine.handle.module, { env: { memory: engine.memory } }).exports;
    this.exports = instantiateHart(module, engine.memory, raw as WebAssembly.ModuleImports, () => this.time);
    const expansions = RAM_HVA + RAM_BYTES;
    this.hart = expansions + this.exports.expansionBytes();
    this.exports.initExpansions(expansions);
    this.exports.initHart(this.hart, 0, this.#vcpu.reader, expansions);
    this.exports.useRam(this.hart, RAM, RAM_BYTES, RAM_HVA);
    engine.setUserMemoryRegion(this.slot(0, 0, RAM_BYTES));
  }

  static async create(build: HartBuild, mutation?: Mutation): Promise<HartLab> {
    const module = await compileHart(build, mutation);
    const memory = new WebAssembly.Memory({ initial: 80, maximum: 400, shared: true });
    return new HartLab(
      build,
      module,
      await MemslotEngine.create({ memory, base: 75 * PAGE_BYTES, maxVcpus: 2 }),
    );
  }

  slot(slot: number, offset: number, bytes: number, flags = 0): Slot {
    return {
      slot,
      flags,
      guestPhysAddr: RAM + offset,
      memorySize: bytes,
      userspaceAddr: RAM_HVA + offset,
    };
  }

  /** RAM at guest address `gpa`. */
  at(gpa: number, bytes: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, RAM_HVA + gpa - RAM, bytes);
  }

  word(gpa: number, value: number): void {
    new DataView(this.memory.buffer).setUint32(RAM_HVA + gpa - RAM, value, true);
  }

  double(gpa: number, value?: bigint): bigint {
    const view = new DataView(this.memory.buffer);
    if (value !== undefined) view.setBigUint64(RAM_HVA + gpa - RAM, value, true);
    return view.getBigUint64(RAM_HVA + gpa - RAM, true);
  }

  csr(csr: number): bigint {
    return BigInt.asUintN(64, this.exports.getCsr(this.hart, csr));
  }

  x(register: number): bigint {
    return BigInt.asUintN(64, this.exports.getRegister(this.hart, register));
  }

  setX(register: number, value: bigint): void {
    this.exports.setRegister(this.hart, register, value);
  }

  /** In S-mode at `pc`, translation and interrupts off, floats off. */
  reset(pc: number): void {
    this.exports.startHart(this.hart, pc, 0);
  }

  run(budget: number): number {
    return this.exports.run(this.hart, budget);
  }

  close(): void {
    this.#vcpu.release();
    this.engine.close();
  }
}
