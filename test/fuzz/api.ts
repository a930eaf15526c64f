/**
 * A model fuzz of the public API: calls with sound, extreme and hostile arguments, to the engine and the naive model.
 * What both define is equal; what the engine refuses for its type changes nothing, and says which argument it is.
 */
import * as assert from "node:assert/strict";
import fc from "fast-check";
import {
  ERRNO,
  encodeUserspaceMemoryRegion,
  guestMemory,
  KVM_MEM_LOG_DIRTY_PAGES,
  type KvmError,
  MemslotEngine,
  mergeSlots,
  protectRange,
  readersOf,
  resizeSlot,
  setReadonly,
  splitSlot,
} from "memslots";
import { ModelEngine } from "../model/memslots.js";
import { firstDifference } from "../support/difference.js";
import type { Implementation } from "../support/implementation.js";
import { checkInvariants } from "../support/invariants.js";
import { snapshot } from "../support/snapshot.js";

const PAGE = 4096;
const OPTIONS = { addressSpaces: 2, maxSlots: 6, maxVcpus: 2, maxListEntries: 5 };
/** Logs of that many bytes fit into the memory that an engine reserves, beside those of a layout that still dies. */
const LOGS_MAX = 2 ** 28;
const WINDOW = { pageShift: 12, startGfn: 0, endGfn: 12, edges: 8, dirty: false };

/** An argument as data, so that a case can be shrunk and printed. */
type Value =
  | { readonly good: number }
  | { readonly bad: unknown }
  | { readonly region: Record<string, Value>; readonly form: "object" | "bytes" | "getters" }
  | { readonly list: readonly Value[]; readonly shrinks: boolean }
  | { readonly bitmap: number };

const good = (...values: number[]) => fc.constantFrom(...values).map((value): Value => ({ good: value }));
const bad: fc.Arbitrary<Value> = fc
  .constantFrom<unknown>(
    undefined,
    null,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -1,
    0.5,
    2 ** 53,
    2 ** 64,
    "0",
    "",
    true,
    {},
    [],
    -1n,
    2n ** 64n,
    0n,
    4096n,
    2n ** 64n - 1n,
    2 ** 32,
    2 ** 31,
    2 ** 52,
    2 ** 52 - PAGE,
    new Date(0),
    Symbol.iterator,
    Object.create(null),
    new Float64Array(4),
    new ArrayBuffer(8),
  )
  .map((value) => ({ bad: value }));
const mostly = (sound: fc.Arbitrary<Value>) =>
  fc.oneof({ arbitrary: sound, weight: 12 }, { arbitrary: bad, weight: 1 });

const slot = mostly(good(0, 1, 2, 3, 5, 6, 0x1_0000, 0x1_0001, 0x1_0005, 0x2_0000, 0xffff_ffff));
const gpa = mostly(
  good(...Array.from({ length: 12 }, (_, i) => i * PAGE), 1, PAGE - 1, 2 ** 52 - PAGE, 2 ** 52),
);
const size = mostly(good(0, PAGE, 2 * PAGE, 3 * PAGE, PAGE + 1, 2 ** 43, 2 ** 43 - PAGE, 2 ** 52));
const hva = mostly(good(0, PAGE, 4 * PAGE, 16 * PAGE, 17, 2 ** 47 - 2 * PAGE, 2 ** 47 - PAGE, 2 ** 47));
const flags = mostly(good(0, 0, 0, 1, 2, 3, 4, 8, 0xffff_ffff));
const asId = mostly(good(0, 1, 2));
const small = mostly(good(0, 1, 2, 64, 63));
const fields = { slot, flags, guestPhysAddr: gpa, memorySize: size, userspaceAddr: hva };
const regionOf = (record: Record<string, fc.Arbitrary<Value>>, required: string[]) =>
  fc.record({
    region: fc.record(record, { requiredKeys: required }) as fc.Arbitrary<Record<string, Value>>,
    form: fc.constantFrom("object" as const, "object" as const, "bytes" as const, "getters" as const),
  });
const NEEDED = ["slot", "flags", "guestPhysAddr", "memorySize", "userspaceAddr"];
const region = fc.oneof(
  { arbitrary: regionOf(fields, NEEDED), weight: 20 },
  { arbitrary: regionOf(fields, []), weight: 1 },
  { arbitrary: bad, weight: 1 },
);
const region2 = fc.oneof(
  {
    arbitrary: regionOf(
      { ...fields, guestMemfd: mostly(good(0, 1, 2, -1)), guestMemfdOffset: small },
      NEEDED,
    ),
    weight: 20,
  },
  { arbitrary: bad, weight: 1 },
);
const list = mostly(
  fc.record({ list: fc.array(region, { maxLength: 7 }), shrinks: fc.boolean() }) as fc.Arbitrary<Value>,
);
const bitmap = mostly(fc.nat(20).map((bytes): Value => ({ bitmap: bytes })));

/** Methods that the model has too. */
const MODELLED = {
  setUserMemoryRegion: [region],
  setUserMemoryRegion2: [region2],
  setUserMemoryRegionList: [list],
  getDirtyLog: [slot],
  clearDirtyLog: [slot, small, small, bitmap],
  markDirty: [gpa, asId],
  gpaToHva: [gpa, asId],
  gpaToHvaRead: [gpa, asId],
  slot: [slot],
  slots: [asId],
  generation: [asId],
  hvaToGpas: [hva, hva],
  createGuestMemfd: [size, small],
  closeGuestMemfd: [small],
  memoryAttributes: [gpa],
  checkExtension: [small],
} as const satisfies Partial<Record<keyof Implementation, readonly fc.Arbitrary<Value>[]>>;

/** Calls that change nothing of the model's. */
const OTHERS: Readonly<
  Record<string, readonly [fc.Arbitrary<Value>[], (engine: MemslotEngine, args: unknown[]) => unknown]>
> = {
  resolve: [[gpa, small, asId], (engine, args) => call(engine, "resolve", args)],
  locate: [[gpa, small, asId], (engine, args) => call(engine, "locate", args)],
  windows: [[asId], (engine, args) => call(engine, "windows", args)],
  resolvePrivate: [[gpa, asId], (engine, args) => call(engine, "resolvePrivate", args)],
  reap: [[small], (engine, args) => call(engine, "reap", args)],
  kick: [[], (engine) => engine.kick()],
  synchronize: [[bad], (engine, args) => call(engine, "synchronize", args)],
  waitGeneration: [[bad], (engine, args) => call(engine, "waitGeneration", [0, ...args])],
  readers: [[], (engine) => readersOf(engine)],
  pause: [
    [bad],
    (engine, args) => {
      call(engine, "pauseVcpus", args);
      engine.resumeVcpus();
    },
  ],
  vcpu: [
    [asId, gpa, bad],
    (engine, [id, address, other]) => {
      const vcpu = engine.vcpu({ asId: id as number });
      try {
        vcpu.enter();
        try {
          vcpu.gpaToHva(address as number);
          vcpu.gfnToSlot(address as number);
          vcpu.translate(other as Float64Array, new Float64Array(4));
        } finally {
          vcpu.exit();
        }
      } finally {
        vcpu.release();
      }
    },
  ],
  guest: [
    [gpa, good(0, 1, 255, -1), bad],
    (engine, [address, value, other]) => {
      const memory = new Uint8Array(64 * PAGE);
      const guest = guestMemory(engine, (other ?? memory) as never, { onHole: () => {} });
      try {
        guest.setUint32(address as number, value as number, true);
        guest.getUint16(address as number);
      } catch (error) {
        // Typed accesses leave it to the language to refuse what cannot become a number: a check would slow down each.
        if (!(error instanceof TypeError) || isNumeric(address)) throw error;
      }
    },
  ],
  split: [
    [slot, size, slot],
    (engine, [at, gpa, upper]) => splitSlot(slotOf(engine, at), gpa as number, upper as number),
  ],
  merge: [[slot, slot], (engine, [one, other]) => mergeSlots(slotOf(engine, one), slotOf(engine, other))],
  resize: [
    [slot, size, size],
    (engine, [at, start, end]) => resizeSlot(slotOf(engine, at), { start, end } as never),
  ],
  readonly: [[slot, bad], (engine, [at, readonly]) => setReadonly(slotOf(engine, at), readonly as boolean)],
  protect: [
    [gpa, size, bad, bad],
    (engine, [at, bytes, readonly, free]) =>
      protectRange(engine.slots(), at as number, bytes as number, readonly as boolean, [1, free] as number[]),
  ],
};

const slotOf = (engine: MemslotEngine, number: unknown) => engine.slot(number as number)!;

/** Whether the language makes a number of a value: of no symbol, no bigint beside a number, no bare object. */
function isNumeric(value: unknown): boolean {
  if (typeof value === "bigint") return false;
  try {
    return typeof Number(value) === "number";
  } catch {
    return false;
  }
}

interface Call {
  readonly method: string;
  readonly args: readonly Value[];
}

const callOf = ([method, args]: readonly [string, readonly fc.Arbitrary<Value>[]]): fc.Arbitrary<Call> =>
  fc.record({ method: fc.constant(method), args: fc.tuple(...args) });
const modelled = Object.entries(MODELLED).map(callOf);
/** Calls that the model has too. */
export const modelledCall = fc.oneof(...modelled);
const SETTERS = 3;
const anyCall = fc.oneof(
  ...modelled.map((arbitrary, i) => ({ arbitrary, weight: i < SETTERS ? 12 : 2 })),
  ...Object.entries(OTHERS).map(([name, [args]]) => ({ arbitrary: callOf([name, args]), weight: 1 })),
);

function call(target: object, method: string, args: readonly unknown[]): unknown {
  return (target as Record<string, (...args: unknown[]) => unknown>)[method]!(...args);
}

/** The argument, made anew for each callee. */
function made(value: Value): unknown {
  if ("good" in value) return value.good;
  if ("bad" in value) return value.bad;
  if ("bitmap" in value) return new Uint8Array(value.bitmap).fill(0xff);
  if ("list" in value) {
    const entries = value.list.map(made);
    const first = entries[0];
    // A list that loses its entries as soon as the first is read.
    if (value.shrinks && typeof first === "object" && first !== null && !ArrayBuffer.isView(first)) {
      const { flags } = first as { flags: unknown };
      Object.defineProperty(first, "flags", {
        enumerable: true,
        get() {
          entries.length = Math.min(entries.length, 1);
          return flags;
        },
      });
    }
    return entries;
  }
  const region = Object.fromEntries(Object.entries(value.region).map(([name, field]) => [name, made(field)]));
  if (
    value.form === "bytes" &&
    Object.values(value.region).every((field) => "good" in field) &&
    NEEDED.every((name) => name in region)
  ) {
    return encodeUserspaceMemoryRegion(region as never);
  }
  if (value.form !== "getters") return region;
  // Each field is another number at its second look.
  const twice = {};
  for (const [name, field] of Object.entries(region)) {
    let looks = 0;
    Object.defineProperty(twice, name, { enumerable: true, get: () => (looks++ === 0 ? field : 0x7777) });
  }
  return twice;
}

function isSound(value: Value): boolean {
  if ("bad" in value) return false;
  // One that loses entries while it is read may be refused.
  if ("list" in value) return value.list.every(isSound) && !value.shrinks;
  return (
    !("region" in value) ||
    (NEEDED.every((name) => name in value.region) && Object.values(value.region).every(isSound))
  );
}

/** A list that shrinks is read once: the model gets what stood in it at the beginning. */
function madeForModel(value: Value): unknown {
  return "list" in value
    ? value.list.map((entry) => madeForModel(entry))
    : made("form" in value ? { ...value, form: value.form === "getters" ? "object" : value.form } : value);
}

/** Calls that take any number as an address: one that no slot can have is in a hole. */
const GPA_FIRST = new Set(["gpaToHva", "gpaToHvaRead", "markDirty", "memoryAttributes"]);

type Outcome = { value: unknown } | { errno: number; index: number | undefined } | { wrong: Error };

/** Errors that are the language's, not the library's: nobody has checked the argument. */
const UNCHECKED =
  /Cannot (?:read|convert|mix|destructure)|is not (?:a function|iterable)|undefined \(reading|circular|BigInt/;

function outcomeOf(run: () => unknown): Outcome {
  try {
    return { value: run() };
  } catch (error) {
    if (error instanceof Error && error.name === "KvmError") {
      const { errno, index } = error as KvmError;
      return { errno, index };
    }
    const isWrong = error instanceof TypeError || error instanceof RangeError;
    if (!isWrong || UNCHECKED.test(error.message)) throw error;
    return { wrong: error };
  }
}

function plain(outcome: Outcome, method: string, isEmpty: boolean): unknown {
  if (!("value" in outcome)) return outcome;
  if (method.startsWith("set")) {
    const { generation } = (outcome.value ?? {}) as { generation?: number };
    return isEmpty ? undefined : generation;
  }
  return outcome.value;
}

/** Bytes of the dirty logs that there would be with these regions: two bits a page, as KVM allocates them. */
function logBytesWanted(model: ModelEngine, args: readonly Value[]): number {
  const present = [0, 1]
    .flatMap((asId) => model.slots(asId))
    .map((region) => [region.flags, region.memorySize]);
  const wanted = args
    .flatMap((value) => ("list" in value ? value.list : [value]))
    .map((value) => ("region" in value ? value.region : {}))
    .map(({ flags, memorySize }) => [flags && made(flags), memorySize && made(memorySize)]);
  return [...present, ...wanted]
    .filter(([flags]) => (Number(flags) & KVM_MEM_LOG_DIRTY_PAGES) !== 0)
    .reduce((sum, [, memorySize]) => sum + Number(memorySize) / PAGE / 4, 0);
}

function step(engine: MemslotEngine, model: ModelEngine, { method, args }: Call): void {
  const other = OTHERS[method];
  if (other !== undefined) {
    outcomeOf(() => other[1](engine, args.map(made)));
    return;
  }
  const ours = outcomeOf(() => call(engine, method, args.map(made)));
  if ("wrong" in ours) {
    assert.ok(
      !args.every(isSound) || ours.wrong instanceof RangeError,
      `${method} refuses a sound type: ${ours.wrong}`,
    );
    return;
  }
  // The engine tells a number that no slot can have from a slot that is not there.
  if (method === "slot" && "errno" in ours) {
    const number = made(args[0]!) as number;
    assert.ok(number >>> 16 >= OPTIONS.addressSpaces || (number & 0xffff) >= OPTIONS.maxSlots);
    return;
  }
  // The model's addresses are bigints, which fractions are not: what the engine has done is compared all the same.
  const isWhole = args.every((value) => !("bad" in value) || Number.isSafeInteger(value.bad));
  if (!isWhole && GPA_FIRST.has(method)) return;
  // The model has memory without end: where the engine has none left for the logs, it has changed nothing.
  if ("errno" in ours && ours.errno === -ERRNO.ENOMEM && logBytesWanted(model, args) > LOGS_MAX) return;
  const theirs = outcomeOf(() => call(model, method, args.map(madeForModel)));
  const first = args[0];
  const isEmpty = first !== undefined && "list" in first && first.list.length === 0;
  assert.deepEqual(plain(ours, method, isEmpty), plain(theirs, method, isEmpty), method);
}

/** What is compared with the model: the engine, or, to see that a difference is found, a model with a defect. */
export const apiOf = (create: (options: typeof OPTIONS) => Promise<MemslotEngine>, calls = anyCall) =>
  fc.asyncProperty(fc.array(calls, { maxLength: 30 }), async (calls) => {
    const engine = await create(OPTIONS);
    const model = new ModelEngine(OPTIONS);
    try {
      for (const made of calls) {
        step(engine, model, made);
        const difference = firstDifference(snapshot(engine, WINDOW), snapshot(model, WINDOW), made.method);
        if (difference) throw new Error(difference);
      }
      if (engine instanceof MemslotEngine) checkInvariants(engine);
    } finally {
      engine.close();
    }
  });

export const api = apiOf((options) => MemslotEngine.create(options));
