/**
 * A machine of the recorder: an engine of the size of a fresh KVM VM, driven by vector operations. `execute` returns
 * the recorder's observations: res, and further fields of some operations.
 *
 * Two arguments of the ioctls have no counterpart here, because the engine takes no user pointers. An unreadable struct
 * is a Uint8Array that is too short. For an unreadable or unwritable bitmap see the two functions.
 */
import {
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_MAX_NR_PAGES,
  KvmError,
  MemslotEngine,
  restoreEngine,
  saveEngine,
  type UserspaceMemoryRegion,
} from "memslots";
import { arenaHva, narrowed, translate, writeWallClock } from "./arena.js";
import { bitmapOf, dirtyPages } from "./bitmap.js";

const KVM_USER_MEM_SLOTS = 32764;
const EFAULT = 14;
const PAGE_BYTES = 0x1000n;

const CAPS = new Map([
  ["manual_dirty_log_protect_v1", KVM_CAP_MANUAL_DIRTY_LOG_PROTECT],
  ["manual_dirty_log_protect2", KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2],
  ["dirty_log_ring", KVM_CAP_DIRTY_LOG_RING],
]);

export type VectorOp = Record<string, unknown> & { op: string };

export type Observed = Record<string, unknown>;

export class VectorMachine {
  #engine: MemslotEngine;
  readonly #viaList: boolean;

  private constructor(engine: MemslotEngine, viaList: boolean) {
    this.#engine = engine;
    this.#viaList = viaList;
  }

  /** @param vcpus are made at once @param spareVcpus number that create_vcpu operations will make later */
  static async create(vcpus: number, spareVcpus: number, viaList: boolean): Promise<VectorMachine> {
    const engine = await MemslotEngine.create({
      addressSpaces: 1,
      maxSlots: KVM_USER_MEM_SLOTS,
      maxVcpus: Math.max(1, vcpus + spareVcpus),
      maxListEntries: 16,
      pageShift: 12,
      maxPhysAddrBits: 52,
    });
    for (let i = 0; i < vcpus; i++) engine.vcpu({ asId: 0 });
    return new VectorMachine(engine, viaList);
  }

  close(): void {
    this.#engine.close();
  }

  /** Go on with an engine that was saved and restored. Its vCPUs are gone; what they decided is not. */
  async saveAndRestore(): Promise<void> {
    const saved = saveEngine(this.#engine);
    this.#engine.close();
    this.#engine = await restoreEngine(saved);
  }

  execute(op: VectorOp): Observed {
    const engine = this.#engine;
    switch (op.op) {
      case "set":
        return answered(() => this.#set(op));
      case "set2":
        return answered(() => engine.setUserMemoryRegion2(structOf(op)));
      case "get_dirty_log":
        return this.#getDirtyLog(op);
      case "clear_dirty_log":
        return this.#clearDirtyLog(op);
      case "enable_cap":
        return answered(() => this.#enableCap(op));
      case "create_vcpu":
        return answered(() => engine.vcpu({ asId: 0 }));
      case "translate": {
        const { page, rpage } = translate(engine, hex(op.gpa));
        return page === rpage ? { page } : { page, rpage };
      }
      case "sweep":
        return this.#sweep(hex(op.gpa), op.n as number);
      case "write_guest": {
        const { wrote, touched } = writeWallClock(engine, hex(op.gpa));
        return { wrote, touched };
      }
      default:
        throw new TypeError(`unknown op "${op.op}"`);
    }
  }

  #set(op: VectorOp): void {
    const region = structOf(op);
    if (this.#viaList) this.#engine.setUserMemoryRegionList([region]);
    else this.#engine.setUserMemoryRegion(region);
  }

  #enableCap(op: VectorOp): void {
    const cap = CAPS.get(op.cap as string);
    if (cap === undefined) throw new TypeError(`unknown cap "${op.cap}"`);
    const arg0 = op.arg0 as number;
    if (op.cap_flags === undefined) this.#engine.enableCap(cap, arg0);
    else this.#engine.enableCap({ cap, flags: op.cap_flags as number, args: [arg0] });
  }

  /** KVM fills the user's bitmap last: if that faults, the bits are already taken out of the slot. */
  #getDirtyLog(op: VectorOp): Observed {
    let bitmap: Uint8Array = new Uint8Array(0);
    const { res } = answered(() => {
      bitmap = this.#engine.getDirtyLog(op.slot as number);
    });
    if (res !== 0) return { res };
    if (op.bitmap === "badptr") return { res: -EFAULT };
    return { res, bytes: bitmap.length, dirty: dirtyPages(bitmap) };
  }

  /** KVM copies the user's bitmap after its checks: an empty one passes the same checks and clears nothing. */
  #clearDirtyLog(op: VectorOp): Observed {
    const pages = op.num_pages as number;
    const bad = op.bitmap === "badptr";
    // No slot has more pages than this, so a longer range is refused unread: its bitmap need not be half a
    // GiB.
    const bitmap = bitmapOf(bad ? [] : (op.bits as number[]), pages > KVM_MEM_MAX_NR_PAGES ? 0 : pages);
    const { res } = answered(() => {
      this.#engine.clearDirtyLog(op.slot as number, narrowed(hex(op.first_page)), pages, bitmap);
    });
    return { res: res === 0 && bad && pages > 0 ? -EFAULT : res };
  }

  #sweep(gpa: bigint, n: number): Observed {
    const seen = Array.from({ length: n }, (_, i) => translate(this.#engine, gpa + BigInt(i) * PAGE_BYTES));
    const pages = seen.map(({ page }) => page);
    const rpages = seen.map(({ rpage }) => rpage);
    return JSON.stringify(pages) === JSON.stringify(rpages) ? { pages } : { pages, rpages };
  }
}

/** The result of an ioctl. */
function answered(ioctl: () => unknown): { res: number } {
  try {
    ioctl();
    return { res: 0 };
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    return { res: error.errno };
  }
}

function structOf(op: VectorOp): UserspaceMemoryRegion | Uint8Array {
  if (op.arg === "badptr") return new Uint8Array(0);
  return {
    slot: op.slot as number,
    flags: op.flags as number,
    guestPhysAddr: narrowed(hex(op.gpa)),
    memorySize: narrowed(hex(op.size)),
    userspaceAddr: narrowed(op.hva_abs === undefined ? arenaHva(hex(op.hva)) : hex(op.hva_abs)),
    ...(op.gmem_offset === undefined ? {} : { guestMemfdOffset: narrowed(hex(op.gmem_offset)) }),
    ...(op.gmem_fd === undefined ? {} : { guestMemfd: op.gmem_fd as number }),
  };
}

function hex(value: unknown): bigint {
  return BigInt(value as string);
}
