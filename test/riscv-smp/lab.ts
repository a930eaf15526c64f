/**
 * One hart without threads or devices, on the RAM of riscv-smp's guests, run text by text.
 *
 *   RAM            64 KiB of RAM     )
 *   RAM + 64 KiB   32 KiB of ROM     ) slots
 *   all else       nothing           )
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, MemslotEngine, type Vcpu } from "memslots";
import { compileHart, type Mutation } from "../../examples/riscv-linux/build.js";
import { type HartExports, instantiateHart } from "../../examples/riscv-linux/exports.js";
import { assemble } from "../../examples/riscv-smp/asm/assembler.js";
import { CSRS } from "../../examples/riscv-smp/asm/fields.js";
import { RAM } from "../../examples/riscv-smp/map.js";

const RAM_BYTES = 0x1_0000;
export const ROM = RAM + RAM_BYTES;
export const ROM_BYTES = 0x8000;
export const HANDLER = RAM + 0xf000;
/** Of the engine's TLB. */
export const TLB_ENTRIES = 256;
const PAGE_BYTES = 65536;
const RAM_HVA = PAGE_BYTES;

export class HartLab {
  readonly engine: MemslotEngine;
  readonly exports: HartExports;
  readonly memory: WebAssembly.Memory;
  /** Address of the hart's state. */
  readonly hart: number;
  /** Ticks of the hart's clock, which stands still; called where a section begins, and by `csrr` inside of it. */
  now = () => 0;
  readonly #vcpu: Vcpu;
  readonly #expansions = RAM_HVA + RAM_BYTES + ROM_BYTES;

  private constructor(module: WebAssembly.Module, engine: MemslotEngine) {
    this.engine = engine;
    this.memory = engine.memory;
    this.#vcpu = engine.vcpu({ tlbEntries: TLB_ENTRIES });
    const raw = new WebAssembly.Instance(engine.handle.module, { env: { memory: engine.memory } }).exports;
    this.exports = instantiateHart(module, engine.memory, raw as WebAssembly.ModuleImports, () => this.now());
    this.exports.initExpansions(this.#expansions);
    this.hart = this.#expansions + this.exports.expansionBytes();
    engine.setUserMemoryRegionList([
      this.slot(0, RAM, RAM_BYTES, KVM_MEM_LOG_DIRTY_PAGES),
      this.slot(1, ROM, ROM_BYTES, KVM_MEM_READONLY),
    ]);
    this.reset();
  }

  static async create(mutation?: Mutation): Promise<HartLab> {
    const module = await compileHart("engine", mutation);
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 128, shared: true });
    return new HartLab(module, await MemslotEngine.create({ memory, maxVcpus: 2 }));
  }

  /** A slot over the bytes that are at guest address `of` after the reset. */
  slot(slot: number, of: number, bytes: number, flags = 0, gpa = of) {
    return { slot, flags, guestPhysAddr: gpa, memorySize: bytes, userspaceAddr: this.#linear(of) };
  }

  #linear(gpa: number): number {
    return RAM_HVA + gpa - RAM;
  }

  /** A hart at reset, with its trap handler at HANDLER. */
  reset(): void {
    this.exports.initHart(this.hart, 0, this.#vcpu.reader, this.#expansions);
    this.exports.startHart(this.hart, RAM, 0);
    this.execute(`li t0, ${HANDLER}\ncsrw stvec, t0\nli t0, 0`);
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

  /** A register; exact below 2^53. */
  x(register: number): number {
    return Number(BigInt.asUintN(64, this.exports.getRegister(this.hart, register)));
  }

  get pc(): number {
    return Number(this.exports.getPc(this.hart));
  }

  csr(name: keyof typeof CSRS): bigint {
    return BigInt.asUintN(64, this.exports.getCsr(this.hart, CSRS[name]!));
  }

  /** Make interrupts pending. */
  setPending(bits: number): void {
    new Uint32Array(this.memory.buffer)[this.exports.mipAddress(this.hart) / 4] = bits;
  }

  /** Run at `pc`. Returns the reason of the exit. */
  run(pc: number, budget = 1): number {
    this.exports.setPc(this.hart, BigInt(pc));
    return this.exports.run(this.hart, budget);
  }

  /** Run a text from the beginning to its end, in one section if it does not exit. Returns the reason. */
  execute(text: string, at = RAM): number {
    const { bytes } = assemble(text, at);
    this.bytes(at, bytes.length).set(bytes);
    return this.run(at, bytes.length / 4);
  }
}
