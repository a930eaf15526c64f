/**
 * The loop of a vCPU: enter, translate, use the memory at the translated address, exit.
 */
import { type EngineHandle, HVA_BAD, HVA_RO_BAD, MemslotEngine, type Vcpu } from "memslots";
import type { Progress } from "../../src/replay/progress.js";
import { PAGE } from "../support/region.js";
import { Ram } from "./ram.js";

/** Accesses of a section. */
const SECTION_ACCESSES = 16;

export interface VcpuTask {
  readonly role: "vcpu";
  readonly handle: EngineHandle;
  readonly ram: SharedArrayBuffer;
  readonly vcpus: number;
  /** Guest pages that are mapped in every layout. */
  readonly pages: readonly number[];
  readonly addressSpaces: number;
  /** No layout has one of the pages READONLY. */
  readonly writable: boolean;
  /** Writes through one translation, as through an entry of a TLB. */
  readonly writesPerAccess: number;
}

export interface VcpuCount {
  accesses: number;
  /** Accesses that found no slot. */
  noMemory: number;
  /**
   * Accesses to another page than meant, refused as READONLY in a slot that never is, or sections in which
   * the address spaces had different layouts.
   */
  wrong: number;
  writes: number;
  /** Layouts met, the first one aside. */
  layouts: number;
}

class Accesses {
  readonly count: VcpuCount = { accesses: 0, noMemory: 0, wrong: 0, writes: 0, layouts: 0 };
  readonly #vcpu: Vcpu;
  readonly #ram: Ram;
  readonly #task: VcpuTask;
  readonly #number: number;

  constructor(vcpu: Vcpu, task: VcpuTask, number: number) {
    this.#vcpu = vcpu;
    this.#ram = new Ram(task.vcpus, task.ram);
    this.#task = task;
    this.#number = number;
  }

  /** One section. */
  section(random: () => number): void {
    const { pages, addressSpaces } = this.#task;
    const vcpu = this.#vcpu;
    if (vcpu.enter()) this.count.layouts++;
    for (let i = 0; i < SECTION_ACCESSES; i++) {
      const gpa = pages[random() % pages.length]!;
      const block = this.#access(gpa, i % 2 === 0);
      if (addressSpaces === 1) continue;
      vcpu.asId = 1;
      const other = this.#access(gpa, i % 2 === 0);
      vcpu.asId = 0;
      if (block !== other) this.count.wrong++;
    }
    vcpu.exit();
  }

  /** Block of the page that was accessed, -1 if none was. */
  #access(gpa: number, write: boolean): number {
    const { count } = this;
    count.accesses++;
    const hva = write ? this.#vcpu.gpaToHva(gpa) : this.#vcpu.gpaToHvaRead(gpa);
    if (hva === HVA_BAD) {
      count.noMemory++;
      return -1;
    }
    if (hva === HVA_RO_BAD) {
      // The device model would be asked now.
      if (this.#task.writable) count.wrong++;
      return -1;
    }
    if (this.#ram.stampOf(hva) !== gpa - (gpa % PAGE)) {
      count.wrong++;
      return -1;
    }
    if (write) {
      for (let i = 0; i < this.#task.writesPerAccess; i++) this.#ram.write(hva, this.#number);
      count.writes += this.#task.writesPerAccess;
      this.#vcpu.markDirty(gpa);
    }
    return this.#ram.blockOf(hva);
  }
}

export async function runVcpu(task: VcpuTask, number: number, progress: Progress): Promise<VcpuCount> {
  const engine = await MemslotEngine.attach(task.handle);
  const vcpu = engine.vcpu();
  vcpu.enter();
  vcpu.exit();
  const accesses = new Accesses(vcpu, task, number);
  // xorshift32: a word that is not 0 never becomes 0.
  let state = number + 1;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  try {
    while (!progress.stopped) {
      accesses.section(random);
      progress.note(number);
    }
  } finally {
    vcpu.release();
    engine.close();
  }
  return accesses.count;
}
