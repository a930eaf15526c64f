/** Codec of MMIO windows for the engine: checks, sorts, encodes as words. */
import {
  WINDOW_ASID_SHIFT,
  WINDOW_BYTES,
  WINDOW_DEVICE_OFFSET,
  WINDOW_END_OFFSET,
  WINDOW_FLAGS_OFFSET,
  WINDOW_HOLE,
  WINDOW_HOST,
  WINDOW_LOGGED,
  WINDOW_MIRROR,
  WINDOW_OVER,
  WINDOW_READONLY,
  WINDOW_REMOVE,
  WINDOW_START_OFFSET,
  WINDOW_TARGET_OFFSET,
  WINDOW_UNIT_SHIFT,
  WINDOW_WAYS_SHIFT,
} from "../core/layout.js";
import {
  checkArray,
  checkObject,
  checkOptionNames,
  putU64,
  show,
  toAddress,
  toBoolean,
  toInteger,
  toU32,
} from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import type {
  DeviceWindow,
  HoleWindow,
  HostWindow,
  MirrorWindow,
  MmioWindow,
  Stripe,
  WindowChange,
} from "../kvm/window.js";

/** The windows of one address space as words of struct Window, ascending. */
export interface EncodedWindows {
  readonly asId: number;
  readonly count: number;
  readonly words: Uint32Array;
}

// Written out: a bundler keeps an object with a spread, even if nobody uses it.
const DEVICE_FIELDS = { gpa: true, bytes: true, over: true, device: true, offset: true } as const;
const HOST_FIELDS = { gpa: true, bytes: true, over: true, hva: true, readonly: true, log: true } as const;
const HOLE_FIELDS = { gpa: true, bytes: true, over: true, hole: true } as const;
const MIRROR_FIELDS = {
  gpa: true,
  bytes: true,
  over: true,
  mirrorOf: true,
  period: true,
  stripe: true,
  asId: true,
  readonly: true,
} as const;
/** Powers of two that a stripe may have. */
const STRIPE_MAX = 2 ** 16;

/** Windows that are encoded already, by what stands for them. */
const kept = /* @__PURE__ */ new WeakMap<readonly MmioWindow[], () => Omit<EncodedWindows, "asId">>();

/** What stands for windows that `encoded` returns, in the option `windows` of a commit. */
export function keepEncoded(encoded: () => Omit<EncodedWindows, "asId">): readonly MmioWindow[] {
  const handle: readonly MmioWindow[] = [];
  kept.set(handle, encoded);
  return handle;
}

/**
 * Encode windows by address space; an undefined element leaves its address space unchanged.
 * @throws TypeError, RangeError naming the window and field; KvmError EEXIST for two that overlap
 */
export function encodeWindows(
  windows: readonly (readonly MmioWindow[] | undefined)[],
  addressSpaces: number,
  limit: number,
  op: string,
): EncodedWindows[] {
  const count = windows.length;
  if (count > addressSpaces) {
    throw new RangeError(`windows must be of ${addressSpaces} address spaces at most, not ${count}`);
  }
  const encoded: EncodedWindows[] = [];
  for (let asId = 0; asId < count; asId++) {
    const own = windows[asId];
    if (own !== undefined) encoded.push(encode(own, asId, addressSpaces, limit, op));
  }
  return encoded;
}

function encode(
  windows: readonly MmioWindow[],
  asId: number,
  addressSpaces: number,
  limit: number,
  op: string,
): EncodedWindows {
  const encoded = kept.get(windows);
  if (encoded !== undefined) return { asId, ...encoded() };
  const name = `windows[${asId}]`;
  checkArray(windows, name);
  // By number: the length and each window are read once, and a method of the array is the caller's.
  const checked = Array.from({ length: windows.length }, (_, i) => ({
    ...checkWindow(windows[i]!, `${name}[${i}]`, asId, addressSpaces, limit),
    index: i,
  }));
  checked.sort((a, b) => a.gpa - b.gpa);
  for (const [i, window] of checked.entries()) {
    const before = checked[i - 1];
    if (before !== undefined && before.end > window.gpa) {
      const [low, high] = [before.index, window.index].sort((a, b) => a - b);
      throw new KvmError(-ERRNO.EEXIST, op, { reason: `${name}[${low}] and [${high}] meet` });
    }
  }
  return { asId, count: checked.length, words: wordsOf(checked, name) };
}

function wordsOf(windows: readonly Checked[], name: string): Uint32Array {
  const words = new Uint32Array((windows.length * WINDOW_BYTES) / 4);
  for (const [i, window] of windows.entries()) {
    const at = (i * WINDOW_BYTES) / 4;
    putU64(words, at + WINDOW_START_OFFSET / 4, window.gpa, name);
    putU64(words, at + WINDOW_END_OFFSET / 4, window.end, name);
    putU64(words, at + WINDOW_TARGET_OFFSET / 4, window.target, name);
    words[at + WINDOW_DEVICE_OFFSET / 4] = window.device;
    words[at + WINDOW_FLAGS_OFFSET / 4] = window.flags;
  }
  return words;
}

/**
 * Encode changes by address space, each ascending, removals first.
 * @throws TypeError, RangeError naming the change and field
 */
export function encodeChanges(
  changes: readonly WindowChange[],
  addressSpaces: number,
  limit: number,
): EncodedWindows[] {
  const bySpace = new Map<number, Checked[]>();
  for (const [i, change] of changes.entries()) {
    const name = `windowChanges[${i}]`;
    checkOptionNames<WindowChange>(change, { asId: true, remove: true, add: true }, name);
    const { asId: space = 0, remove, add } = change;
    const asId = toInteger(space, `${name}.asId`, 0, addressSpaces - 1);
    const edits = bySpace.get(asId) ?? [];
    bySpace.set(asId, edits);
    if (remove !== undefined) {
      const gpa = toAddress(remove, `${name}.remove`);
      edits.push({ gpa, end: gpa, target: 0, device: 0, flags: WINDOW_REMOVE });
    }
    if (add !== undefined) edits.push(checkWindow(add, `${name}.add`, asId, addressSpaces, limit));
  }
  const removal = ({ flags }: Checked) => (flags === WINDOW_REMOVE ? 0 : 1);
  return [...bySpace].map(([asId, edits]) => {
    edits.sort((a, b) => a.gpa - b.gpa || removal(a) - removal(b));
    return { asId, count: edits.length, words: wordsOf(edits, "windowChanges") };
  });
}

interface Checked {
  gpa: number;
  end: number;
  target: number;
  device: number;
  flags: number;
}

function checkWindow(
  window: MmioWindow,
  name: string,
  asId: number,
  addressSpaces: number,
  limit: number,
): Checked {
  checkObject(window, name);
  if ("hva" in window) checkOptionNames<HostWindow>(window, HOST_FIELDS, name);
  else if ("mirrorOf" in window) checkOptionNames<MirrorWindow>(window, MIRROR_FIELDS, name);
  else if ("hole" in window) checkOptionNames<HoleWindow>(window, HOLE_FIELDS, name);
  else checkOptionNames<DeviceWindow>(window, DEVICE_FIELDS, name);
  const gpa = toAddress(window.gpa, `${name}.gpa`);
  const bytes = toAddress(window.bytes, `${name}.bytes`);
  const end = gpa + bytes;
  if (end === gpa || end > limit) {
    throw new RangeError(`${name} must have bytes and end at or below ${limit}, not end at ${end}`);
  }
  const over = toBoolean(window.over, `${name}.over`, false) ? WINDOW_OVER : 0;
  if ("hole" in window) {
    const { hole } = window;
    if (hole !== true) throw new TypeError(`${name}.hole must be true, not ${show(hole)}`);
    return { gpa, end, target: 0, device: 0, flags: WINDOW_OVER | WINDOW_HOLE };
  }
  if ("device" in window) {
    const device = toU32(window.device, `${name}.device`);
    return { gpa, end, target: toAddress(window.offset ?? 0, `${name}.offset`), device, flags: over };
  }
  if (!("hva" in window) && !("mirrorOf" in window)) {
    throw new TypeError(`${name}.device must be an integer from 0 to 2^32 - 1, not undefined`);
  }
  const flags = over | (toBoolean(window.readonly, `${name}.readonly`, false) ? WINDOW_READONLY : 0);
  if ("hva" in window) {
    const log = toBoolean(window.log, `${name}.log`, false) ? WINDOW_LOGGED : 0;
    const target = toAddress(window.hva, `${name}.hva`);
    return { gpa, end, target, device: 0, flags: flags | WINDOW_HOST | log };
  }
  const target = toAddress(window.mirrorOf, `${name}.mirrorOf`);
  const period = toInteger(window.period ?? bytes, `${name}.period`, 1, 2 ** 32 - 1);
  const original = toInteger(window.asId ?? asId, `${name}.asId`, 0, addressSpaces - 1);
  const { stripe } = window;
  const striped = stripe === undefined ? 0 : stripeBits(stripe, `${name}.stripe`);
  const mirror = WINDOW_MIRROR | (original << WINDOW_ASID_SHIFT) | striped;
  return { gpa, end, target, device: period, flags: flags | mirror };
}

/** A stripe as bits of the flags. @throws TypeError, RangeError naming the field */
function stripeBits(stripe: Stripe, name: string): number {
  checkOptionNames<Stripe>(stripe, { unit: true, ways: true }, name);
  return (
    (powerOf(stripe.unit, `${name}.unit`) << WINDOW_UNIT_SHIFT) |
    (powerOf(stripe.ways, `${name}.ways`) << WINDOW_WAYS_SHIFT)
  );
}

function powerOf(value: unknown, name: string): number {
  const power = 31 - Math.clz32(toInteger(value, name, 1, STRIPE_MAX));
  if (value !== 2 ** power) throw new RangeError(`${name} must be a power of two, not ${show(value)}`);
  return power;
}
