/**
 * Makes build/engine.unshared.wasm out of build/engine.wasm: the same functions without the atomic instructions, for
 * memory that one thread uses, and for runtimes that have no threads in WebAssembly. One compilation, so that the two
 * can not differ in anything else; the package stores the second one as an edit of the first.
 *
 * An atomic load or store becomes the plain one, a read-modify-write a load, an operation and a store on locals of its
 * own, notify finds nobody, and wait times out at once. Numbers are those of the binary format, and of the threads
 * proposal for what stands behind the prefix 0xfe. An instruction that is not listed here ends the build.
 *
 *   node assembly/unshared.mjs              write build/engine.unshared.wasm
 */
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const I32 = 0x7f;
const I64 = 0x7e;
const SECTION = { import: 2, code: 10 };
/** Limits of a memory: has a maximum, is shared. */
const HAS_MAXIMUM = 1;
const SHARED = 2;

const NOP = 0x01;
const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const [LOAD_I32, LOAD_I64, STORE_I32, STORE_I64] = [0x28, 0x29, 0x36, 0x37];
const DROP = 0x1a;
const CONST_I32 = 0x41;
const [IF, END, EMPTY] = [0x04, 0x0b, 0x40];
const [EQ_I32, EQ_I64] = [0x46, 0x51];

/** Plain twin of an atomic load or store. */
const PLAIN = new Map([
  [0x10, LOAD_I32],
  [0x11, LOAD_I64],
  [0x12, 0x2d],
  [0x13, 0x2f],
  [0x17, STORE_I32],
  [0x18, STORE_I64],
  [0x19, 0x3a],
  [0x1a, 0x3b],
]);
/** Type and operation of a read-modify-write; an exchange has no operation, a compare-exchange is one by itself. */
const MODIFY = new Map([
  [0x1e, [I32, 0x6a]],
  [0x1f, [I64, 0x7c]],
  [0x25, [I32, 0x6b]],
  [0x26, [I64, 0x7d]],
  [0x2c, [I32, 0x71]],
  [0x2d, [I64, 0x83]],
  [0x33, [I32, 0x72]],
  [0x34, [I64, 0x84]],
  [0x41, [I32, undefined]],
  [0x42, [I64, undefined]],
]);
const COMPARE_EXCHANGE = new Map([
  [0x48, I32],
  [0x49, I64],
]);

function lebOf(value) {
  const bytes = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }
  byte() {
    return this.bytes[this.at++];
  }
  leb() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }
  skip(count) {
    this.at += count;
  }
  /** The bytes that `read` passes over. */
  span(read) {
    const start = this.at;
    read();
    return [...this.bytes.subarray(start, this.at)];
  }
}

/** Immediate operands of a plain instruction; branches, calls, locals and constants have a LEB128 each. */
function skipOperands(reader, opcode) {
  const lebs = (count) => {
    for (let i = 0; i < count; i++) reader.leb();
  };
  if (opcode === 0x0e) return lebs(reader.leb() + 1);
  if (opcode === 0x44) reader.skip(8);
  else if ([0x02, 0x03, IF, 0x0c, 0x0d, 0x10, 0x20, 0x21, 0x22, 0x3f, 0x40, 0x41, 0x42].includes(opcode))
    lebs(1);
  else if (opcode >= 0x28 && opcode <= 0x3e) lebs(2);
  else if (opcode === 0xfc) {
    const extended = reader.leb();
    if (extended === 10) lebs(2);
    else if (extended === 11) lebs(1);
    else if (extended > 7) throw new Error(`no operands known for 0xfc ${extended}`);
  } else if (
    ![0x00, 0x01, 0x05, END, 0x0f, DROP, 0x1b].includes(opcode) &&
    (opcode < 0x45 || opcode > 0xc4)
  ) {
    throw new Error(`no operands known for opcode 0x${opcode.toString(16)}`);
  }
}

/** Four locals behind those of the function: address, and per type a value, an expected value and an old one. */
class Locals {
  constructor(first) {
    this.first = first;
    this.types = [];
  }
  get(type, role) {
    const key = `${type} ${role}`;
    let index = this.types.findIndex((local) => local.key === key);
    if (index < 0) index = this.types.push({ key, type }) - 1;
    return lebOf(this.first + index);
  }
}

function modify(type, operation, memarg, locals) {
  const [load, store] = type === I32 ? [LOAD_I32, STORE_I32] : [LOAD_I64, STORE_I64];
  const address = locals.get(I32, "address");
  const value = locals.get(type, "value");
  const old = locals.get(type, "old");
  return [
    ...[
      LOCAL_SET,
      ...value,
      LOCAL_TEE,
      ...address,
      load,
      ...memarg,
      LOCAL_SET,
      ...old,
      LOCAL_GET,
      ...address,
    ],
    ...(operation === undefined ? [] : [LOCAL_GET, ...old]),
    ...[LOCAL_GET, ...value],
    ...(operation === undefined ? [] : [operation]),
    ...[store, ...memarg, LOCAL_GET, ...old],
  ];
}

function compareExchange(type, memarg, locals) {
  const [load, store, equal] = type === I32 ? [LOAD_I32, STORE_I32, EQ_I32] : [LOAD_I64, STORE_I64, EQ_I64];
  const address = locals.get(I32, "address");
  const expected = locals.get(type, "expected");
  const value = locals.get(type, "value");
  const old = locals.get(type, "old");
  return [
    ...[
      LOCAL_SET,
      ...value,
      LOCAL_SET,
      ...expected,
      LOCAL_TEE,
      ...address,
      load,
      ...memarg,
      LOCAL_TEE,
      ...old,
    ],
    ...[LOCAL_GET, ...expected, equal, IF, EMPTY],
    ...[LOCAL_GET, ...address, LOCAL_GET, ...value, store, ...memarg, END, LOCAL_GET, ...old],
  ];
}

function plainInstruction(reader, locals) {
  const opcode = reader.leb();
  const memarg = reader.span(() => [reader.leb(), reader.leb()]);
  if (opcode === 0x00) return [DROP, DROP, CONST_I32, 0];
  if (opcode === 0x01) return [DROP, DROP, DROP, CONST_I32, 2];
  // As long as the atomic one: the edits that make the unshared build then need no new lengths.
  if (PLAIN.has(opcode)) return [NOP, PLAIN.get(opcode), ...memarg];
  if (MODIFY.has(opcode)) return modify(...MODIFY.get(opcode), memarg, locals);
  if (COMPARE_EXCHANGE.has(opcode)) return compareExchange(COMPARE_EXCHANGE.get(opcode), memarg, locals);
  throw new Error(`no plain twin known for 0xfe 0x${opcode.toString(16)}`);
}

/** Body of a function with `parameters`, declarations of its locals included. */
function plainBody(reader, end, parameters) {
  const groups = Array.from({ length: reader.leb() }, () => [reader.leb(), reader.byte()]);
  const locals = new Locals(groups.reduce((sum, [count]) => sum + count, parameters));
  const code = [];
  while (reader.at < end) {
    if (reader.bytes[reader.at] === 0xfe) {
      reader.at++;
      code.push(...plainInstruction(reader, locals));
    } else {
      code.push(...reader.span(() => skipOperands(reader, reader.byte())));
    }
  }
  const declared = [...groups, ...locals.types.map(({ type }) => [1, type])];
  return [
    ...lebOf(declared.length),
    ...declared.flatMap(([count, type]) => [...lebOf(count), type]),
    ...code,
  ];
}

function plainCode(reader, parameterCounts) {
  const bodies = Array.from({ length: reader.leb() }, (_, i) => {
    const end = reader.leb() + reader.at;
    const body = plainBody(reader, end, parameterCounts[i]);
    return [...lebOf(body.length), ...body];
  });
  return [...lebOf(bodies.length), ...bodies.flat()];
}

/** The one import is the memory; its flags stand behind two names and the kind. */
function unsharedImport(reader, end) {
  const start = reader.at;
  reader.leb();
  for (let name = 0; name < 2; name++) reader.skip(reader.leb());
  reader.byte();
  const payload = [...reader.bytes.subarray(start, end)];
  if (payload[reader.at - start] !== (HAS_MAXIMUM | SHARED)) throw new Error("no shared memory is imported");
  payload[reader.at - start] = HAS_MAXIMUM;
  return payload;
}

/** Parameters of each function, from the type and function sections. */
function countParameters(bytes) {
  const types = [];
  const counts = [];
  const reader = new Reader(bytes, 8);
  while (reader.at < bytes.length) {
    const id = reader.byte();
    const end = reader.leb() + reader.at;
    if (id === 1) {
      for (let n = reader.leb(); n > 0; n--) {
        reader.byte();
        types.push(reader.leb());
        reader.skip(types.at(-1));
        reader.skip(reader.leb());
      }
    }
    if (id === 3) for (let n = reader.leb(); n > 0; n--) counts.push(types[reader.leb()]);
    reader.at = end;
  }
  return counts;
}

/** The module `bytes` for memory that is not shared. */
export function unshare(bytes) {
  const parameterCounts = countParameters(bytes);
  const reader = new Reader(bytes, 8);
  const result = [...bytes.subarray(0, 8)];
  while (reader.at < bytes.length) {
    const id = reader.byte();
    const end = reader.leb() + reader.at;
    const payload =
      id === SECTION.code
        ? plainCode(reader, parameterCounts)
        : id === SECTION.import
          ? unsharedImport(reader, end)
          : [...bytes.subarray(reader.at, end)];
    reader.at = end;
    result.push(id, ...lebOf(payload.length), ...payload);
  }
  return new Uint8Array(result);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const build = (name) => fileURLToPath(new URL(`../build/${name}`, import.meta.url));
  writeFileSync(build("engine.unshared.wasm"), unshare(readFileSync(build("engine.wasm"))));
}
