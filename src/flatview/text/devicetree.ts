/**
 * The memory of a flattened devicetree (.dtb): its memory nodes and reserved-memory.
 *
 *   header | memory reservations | structure: BEGIN_NODE name, PROP length name value, END_NODE, END | strings
 *
 * Reserved memory with `no-map` is no RAM to an operating system, other reserved memory is. Mirrors
 * early_init_dt_scan_memory and __reserved_mem_reserve_reg (Linux drivers/of/fdt.c); the format is that of the
 * Devicetree Specification 0.4, chapter 5.
 */
import type { TextNote } from "./mtreescan.js";
import { ParseError } from "./parseerror.js";
import type { PhysicalRange } from "./physical.js";

const MAGIC = 0xd00d_feed;
const BEGIN_NODE = 1;
const END_NODE = 2;
const PROP = 3;
const NOP = 4;
const END = 9;
const HEADER_BYTES = 40;
const DEPTH_MAX = 64;

interface FdtNode {
  readonly name: string;
  readonly properties: Map<string, DataView>;
  readonly children: FdtNode[];
}

/** The bytes begin as a flattened devicetree does. */
export function isDeviceTree(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_BYTES && viewOf(bytes).getUint32(0) === MAGIC;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function damaged(what: string): never {
  throw new ParseError(1, `a damaged devicetree: ${what}`);
}

/** The memory of a devicetree. @throws ParseError */
export function parseDeviceTree(bytes: Uint8Array, note: TextNote = () => {}): PhysicalRange[] {
  if (!isDeviceTree(bytes)) damaged("its first word is not 0xd00dfeed");
  const root = parseStructure(bytes);
  const cells = cellsOf(root, { address: 2, size: 1 });
  const memory = root.children.filter(
    (node) => textOf(node.properties.get("device_type")) === "memory" || /^memory(?:@|$)/.test(node.name),
  );
  const isOn = ({ properties }: FdtNode) => /^(?:|ok|okay)$/.test(textOf(properties.get("status")) ?? "");
  const ranges = memory
    .filter(isOn)
    .flatMap((node) =>
      regOf(node, cells).map((range) => ({ line: 1, ...range, name: "System RAM", ram: true })),
    );
  if (ranges.length === 0) throw new ParseError(1, "the devicetree has no memory node with a reg");
  const reserved = root.children.find(({ name }) => /^reserved-memory(?:@|$)/.test(name));
  for (const node of reserved?.children.filter(isOn) ?? []) {
    const parts = regOf(node, cellsOf(reserved!, cells));
    if (parts.length === 0)
      note(1, `reserved-memory "${node.name}" has no address: its place is the kernel's choice`);
    else if (!node.properties.has("no-map"))
      note(1, `reserved-memory "${node.name}" is RAM, which the kernel reserves`);
    else for (const part of parts) ranges.push({ line: 1, ...part, name: node.name, ram: false });
  }
  return ranges.filter(({ size }) => size > 0n);
}

interface Cells {
  readonly address: number;
  readonly size: number;
}

function cellsOf({ properties }: FdtNode, otherwise: Cells): Cells {
  const cell = (name: string, value: number) => {
    const view = properties.get(name);
    if (view === undefined) return value;
    const count = view.byteLength === 4 ? view.getUint32(0) : 0;
    return count === 1 || count === 2 ? count : damaged(`${name} must be 1 or 2`);
  };
  return { address: cell("#address-cells", otherwise.address), size: cell("#size-cells", otherwise.size) };
}

function regOf({ name, properties }: FdtNode, { address, size }: Cells): { start: bigint; size: bigint }[] {
  const reg = properties.get("reg");
  if (reg === undefined) return [];
  const stride = 4 * (address + size);
  if (reg.byteLength % stride !== 0) damaged(`reg of "${name}" is no multiple of ${stride} bytes`);
  const number = (at: number, cells: number) =>
    cells === 2 ? reg.getBigUint64(at) : BigInt(reg.getUint32(at));
  return Array.from({ length: reg.byteLength / stride }, (_, i) => {
    const range = { start: number(i * stride, address), size: number(i * stride + 4 * address, size) };
    if (range.start + range.size > 1n << 64n) damaged(`reg of "${name}" goes beyond 2^64`);
    return range;
  });
}

function textOf(view: DataView | undefined): string | undefined {
  if (view === undefined) return undefined;
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** The tree of nodes. @throws ParseError where the bytes end too early or do not nest */
function parseStructure(bytes: Uint8Array): FdtNode {
  const view = viewOf(bytes);
  const [total, structure, strings] = [4, 8, 12].map((at) => view.getUint32(at)) as [number, number, number];
  if (total > bytes.length) damaged(`it has ${total} bytes, the file ${bytes.length}`);
  const zeroAt = (from: number) => {
    const end = bytes.indexOf(0, from);
    return end < 0 || end >= total ? damaged("a name does not end") : end;
  };
  const nameAt = (from: number) => new TextDecoder().decode(bytes.subarray(from, zeroAt(from)));
  const aligned = (at: number) => Math.ceil(at / 4) * 4;
  const top: FdtNode = { name: "", properties: new Map(), children: [] };
  const open = [top];
  for (let at = aligned(structure); ; ) {
    if (at + 4 > total) damaged("its structure does not end");
    const token = view.getUint32(at);
    at += 4;
    if (token === BEGIN_NODE) {
      const node: FdtNode = { name: nameAt(at), properties: new Map(), children: [] };
      at = aligned(zeroAt(at) + 1);
      open.at(-1)!.children.push(node);
      if (open.push(node) > DEPTH_MAX) damaged("its nodes lie too deep");
    } else if (token === END_NODE) {
      if (open.length === 1) damaged("a node ends that has not begun");
      open.pop();
    } else if (token === PROP) {
      if (at + 8 > total) damaged("its structure does not end");
      const [length, name] = [view.getUint32(at), view.getUint32(at + 4)];
      if (at + 8 + length > total || strings + name >= total) damaged("a property goes beyond its end");
      const value = new DataView(bytes.buffer, bytes.byteOffset + at + 8, length);
      open.at(-1)!.properties.set(nameAt(strings + name), value);
      at = aligned(at + 8 + length);
    } else if (token === END) return top.children[0] ?? damaged("it has no node");
    else if (token !== NOP) damaged(`token ${token} is unknown`);
  }
}
