/** The probe of a vCPU's TLB in JavaScript, and an access as an emulator in wasm makes it: probe, then fill. */
import type { MemslotEngine, Vcpu } from "memslots";
import type { EngineExports } from "../../src/core/exports.js";
import { TLB, TLB_BYTES, TLB_ENTRY, TLB_ENTRY_BYTES } from "../../src/core/layout.js";

export { TLB_CODE, TLB_READ, TLB_WRITE } from "../../src/core/layout.js";

/** A vCPU's TLB as its emulator sees it. */
export class TlbProbe {
  readonly #memory: WebAssembly.Memory;
  readonly #wasm: EngineExports;
  readonly reader: number;
  readonly tlb: number;

  constructor({ memory, handle }: MemslotEngine, { reader }: Pick<Vcpu, "reader">) {
    const instance = new WebAssembly.Instance(handle.module, { env: { memory } });
    const wasm = instance.exports as unknown as EngineExports;
    this.#memory = memory;
    this.#wasm = wasm;
    this.reader = reader;
    this.tlb = wasm.tlbOf(reader) >>> 0;
  }

  /** Number of the entry of a page; as docs/abi.md says. */
  indexOf(gpa: number): number {
    const view = new DataView(this.#memory.buffer);
    const page = Number(
      BigInt.asUintN(32, BigInt(gpa) >> BigInt(view.getUint32(this.tlb + TLB.pageShift, true))),
    );
    return ((page ^ (page >>> 6) ^ (page >>> 12)) & view.getUint32(this.tlb + TLB.indexMask, true)) >>> 0;
  }

  /** Host address of an access of `bytes`, undefined for a miss. */
  probe(gpa: number, access: number, bytes = 1): number | undefined {
    const view = new DataView(this.#memory.buffer);
    const entry = this.tlb + TLB_BYTES + this.indexOf(gpa) * TLB_ENTRY_BYTES;
    const pageMask = view.getBigUint64(this.tlb + TLB.pageMask, true);
    const tag = view.getBigUint64(entry + 8 * access, true);
    if (tag !== (BigInt(gpa) & (pageMask | BigInt(bytes - 1)))) return undefined;
    return Number(BigInt(gpa) + view.getBigInt64(entry + TLB_ENTRY.addend, true));
  }

  /** Host address of the byte, or HVA_*; entered on the way. */
  access(gpa: number, access: number): number {
    return this.probe(gpa, access) ?? this.#wasm.fillTlb(this.reader, gpa, access);
  }
}
