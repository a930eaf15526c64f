/**
 * The line protocol of driver.c: one request for each vector operation, one line of answer for each request.
 * The head of driver.c is its definition.
 */
import {
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
} from "../../src/kvm/uapi.js";
import type { Difference, VectorOp } from "../support/vectors.js";

export type Observed = Difference["observed"];

const CAPS = new Map<unknown, number>([
  ["manual_dirty_log_protect_v1", KVM_CAP_MANUAL_DIRTY_LOG_PROTECT],
  ["manual_dirty_log_protect2", KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2],
  ["dirty_log_ring", KVM_CAP_DIRTY_LOG_RING],
]);

/** Fields that KVM fills in; whatever else an op holds are its arguments. */
const OBSERVATIONS: readonly string[] = [
  "res",
  "bytes",
  "dirty",
  "page",
  "rpage",
  "pages",
  "rpages",
  "wrote",
  "touched",
];

/** The request of an op. @throws TypeError for an op or a capability that the vectors do not have. */
export function requestOf(op: VectorOp): string {
  switch (op.op) {
    case "set":
    case "set2":
      return op.arg === "badptr" ? `${op.op} badptr` : regionRequest(op);
    case "get_dirty_log":
      return op.bitmap === "badptr" ? `get_dirty_log ${op.slot} badptr` : `get_dirty_log ${op.slot}`;
    case "clear_dirty_log": {
      const bits = op.bitmap === "badptr" ? ["badptr"] : (op.bits as number[]);
      return ["clear_dirty_log", op.slot, op.first_page, op.num_pages, ...bits].join(" ");
    }
    case "enable_cap": {
      const cap = CAPS.get(op.cap);
      if (cap === undefined) throw new TypeError(`unknown cap "${op.cap}"`);
      return `enable_cap ${cap} ${op.arg0} ${op.cap_flags ?? 0}`;
    }
    case "create_vcpu":
      return "create_vcpu";
    case "translate":
      return `sweep ${op.gpa} 1`;
    case "sweep":
      return `sweep ${op.gpa} ${op.n}`;
    case "write_guest":
      return `write_guest ${op.gpa}`;
    default:
      throw new TypeError(`unknown op "${op.op}"`);
  }
}

/** What an answer says was observed, in the fields and the order of the vector files. */
export function observedOf(op: VectorOp, answer: string): Observed {
  switch (op.op) {
    case "translate": {
      const { pages, rpages } = pagesOf(answer);
      return pages[0] === rpages[0] ? { page: pages[0] } : { page: pages[0], rpage: rpages[0] };
    }
    case "sweep": {
      const { pages, rpages } = pagesOf(answer);
      return pages.every((page, index) => page === rpages[index]) ? { pages } : { pages, rpages };
    }
    case "write_guest": {
      const [wrote, touched] = answer.split("|").map(numbersOf);
      return { wrote, touched };
    }
    case "get_dirty_log": {
      const [res, bytes, ...dirty] = numbersOf(answer);
      return res === 0 ? { res, bytes, dirty } : { res };
    }
    default:
      return { res: numbersOf(answer)[0] };
  }
}

/** Whether two ops hold other observations. */
export function differing(op: VectorOp, other: VectorOp): boolean {
  return OBSERVATIONS.some((name) => JSON.stringify(op[name]) !== JSON.stringify(other[name]));
}

/** An op without what was observed. */
export function argumentsOf(op: VectorOp): VectorOp {
  const kept = Object.entries(op).filter(([name]) => !OBSERVATIONS.includes(name));
  return { ...Object.fromEntries(kept), op: op.op };
}

function regionRequest(op: VectorOp): string {
  const hva = op.hva_abs ?? `+${op.hva}`;
  const request = [op.op, op.slot, op.flags, op.gpa, op.size, hva];
  if (op.op === "set2") request.push(op.gmem_offset ?? 0, op.gmem_fd ?? 0);
  return request.join(" ");
}

function pagesOf(answer: string): { pages: (number | null)[]; rpages: (number | null)[] } {
  const seen = answer
    .trim()
    .split(" ")
    .map((word) => (word === "-" ? null : Number(word)));
  return { pages: seen.filter((_, index) => index % 2 === 0), rpages: seen.filter((_, index) => index % 2) };
}

function numbersOf(text: string): number[] {
  return text.split(" ").filter(Boolean).map(Number);
}
