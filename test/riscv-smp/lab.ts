/**
 * One hart without threads or devices, run instruction by instruction.
 *
 *   RAM            64 KiB of RAM     )
 *   RAM + 64 KiB   32 KiB of ROM     ) of the flat build: RAM alone
 *   all else       nothing           )
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, MemslotEngine, type Vcpu } from "memslots";
import { assemble } from "../../examples/riscv-smp/asm/assembler.js";
import { compileHart, type HartBuild, type Mutation } from "../../examples/riscv-smp/build.js";
import { type HartExports, instantiateHart } from "../../examples/riscv-smp/exports.js";
import { RAM } from "../../examples/riscv-smp/map.js";
import type { Region } from "./oracle.js";

export const RAM_BYTES = 0x1_0000;
export const ROM = RAM + RAM_BYTES;
export const ROM_BYTES = 0x8000;
export const HANDLER = RAM + 0xf000;
const PAGE_BYTES = 65536;
/** Of CSRs that traps write. */
export const CSR = { mstatus: 0x300, mscratch: 0x340, mepc: 0x341, mcause: 0x342, mtval: 0x343 } as const;

export class HartLab {
  readonly build: HartBuild;
  readonly engine: MemslotEngine;
  readonly exports: HartExports;
  readonly memory: WebAssembly.Memory;
  /** Address of the hart's state. */
  readonly hart: number;
  readonly #vcpu: Vcpu;

  private constructor(build: HartBuild, module: WebAssembly.Module, engine: MemslotEngine, hart: number) {
    this.build = build;
    this.engine = engine;
    this.memory = engine.memory;
    this.hart = hart;
    this.#vcpu = engine.vcpu();
    const raw = new WebAssembly.Instance(engine.handle.module, { env: { memory: engine.memory } }).exports;
    this.exports = instantiateHart(module, engine.memory, raw as WebAssembly.ModuleImports);
    engine.setUserMemoryRegionList([
      this.slot(0, RAM, RAM_BYTES, KVM_MEM_LOG_DIRTY_PAGES),
      this.slot(1, ROM, ROM_BYTES, KVM_MEM_READONLY),
    ]);
    this.reset();
  }

  static async create(build: HartBuild, mutation?: Mutation): Promise<HartLab> {
    const module = await compileHart(build, mutation);
    // Below RAM nothing, behind RAM and ROM the hart.
    const hart = PAGE_BYTES + RAM_BYTES + ROM_BYTES;
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 128, shared: true });
    return new HartLab(build, module, await MemslotEngine.create({ memory, maxVcpus: 2 }), hart);
  }

  /** A slot over the bytes that are at guest address `of` after the reset. */
  slot(slot: number, of: number, bytes: number, flags = 0, gpa = of) {
    return { slot, flags, guestPhysAddr: gpa, memorySize: bytes, userspaceAddr: this.#linear(of) };
  }

  #linear(gpa: number): number {
    return this.exports.ramHva() + gpa - RAM;
  }

  /** A hart at reset, with its trap handler at HANDLER. */
  reset(): void {
    this.exports.initHart(this.hart, 0, RAM, this.#vcpu.reader, RAM_BYTES);
    this.execute(`li t0, ${HANDLER}\ncsrw mtvec, t0\nli t0, 0`);
  }

  regionOf(address: number): Region {
    if (address >= RAM && address < ROM) return "ram";
    if (this.build === "engine" && address >= ROM && address < ROM + ROM_BYTES) return "rom";
    return "none";
  }

  /** Bytes that are at guest address `gpa` after the reset; a view. */
  bytes(gpa: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, this.#linear(gpa), length);
  }

  word(gpa: number): number {
    return new DataView(this.memory.buffer).getUint32(this.#linear(gpa), true);
  }

  setWord(gpa: number, word: number): void {
    new DataView(this.memory.buffer).setUint32(this.#linear(gpa), word, true);
  }

  x(register: number): number {
    return this.exports.getRegister(this.hart, register) >>> 0;
  }

  setX(register: number, value: number): void {
    this.exports.setRegister(this.hart, register, value);
  }

  get pc(): number {
    return this.exports.getPc(this.hart) >>> 0;
  }

  csr(csr: number): number {
    return this.exports.getCsr(this.hart, csr);
  }

  /** Run at `pc`. Returns the reason of the exit. */
  run(pc: number, budget = 1): number {
    this.exports.setPc(this.hart, pc);
    return this.exports.run(this.hart, budget);
  }

  /** Run a text from the beginning to its end, in one section if it does not exit. Returns the reason. */
  execute(text: string, at = RAM): number {
    const { bytes } = assemble(text, at);
    this.bytes(at, bytes.length).set(bytes);
    return this.run(at, bytes.length / 4);
  }
}
