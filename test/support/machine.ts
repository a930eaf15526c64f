/**
 * A machine of the recorder: an engine of the size of a fresh KVM VM, driven by vector operations.
 * `execute` answers what the recorder would have noted: res, and what was seen where res is not all.
 *
 * Two arguments of the ioctls have no counterpart here, because the engine takes no user pointers: an
 * unreadable struct is a Uint8Array that is too short, and for an unreadable or unwritable bitmap see the two
 * functions.
 */
import {
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_MAX_NR_PAGES,
  KvmError,
  type MemoryRegion,
  MemslotEngine,
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
  readonly #engine: MemslotEngine;
  readonly #viaList: boolean;

  private constructor(engine: MemslotEngine, viaList: boolean) {
    this.#engine = engine;
    this.#viaList = viaList;
  }

  /** `vcpus` are made at once; `spareVcpus` is how many more create_vcpu ops will ask for. */
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

  /**
   * KVM fills the user's bitmap last: when that faults, the bits have been taken out of the slot all the
   * same.
   */
  #getDirtyLog(op: VectorOp): Observed {
    let bitmap: Uint8Array = new Uint8Array(0);
    const { res } = answered(() => {
      bitmap = this.#engine.getDirtyLog(op.slot as number);
    });
    if (res !== 0) return { res };
    if (op.bitmap === "badptr") return { res: -EFAULT };
    return { res, bytes: bitmap.length, dirty: dirtyPages(bitmap) };
  }

  /**
   * KVM copies the user's bitmap in after its own checks: an empty one in its place answers these and clears
   * nothing.
   */
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

/** The answer of an ioctl. */
function answered(ioctl: () => unknown): { res: number } {
  try {
    ioctl();
    return { res: 0 };
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    return { res: error.errno };
  }
}

function structOf(op: VectorOp): MemoryRegion | Uint8Array {
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
