/**
 * A 6502 assembler in two passes: labels, constants, `.org`, `.byte`, `.word`. The first pass fixes the size
 * of every statement, the second one fills in what was not known yet.
 *
 *   name = expression       constant
 *   label:                  address of what follows
 *   .org expression         go on at this address; what lies between is 0
 *   expression              terms with + and -; < and > in front take the low or high byte of all of it;
 *                           a term is 12, $0c, %1100 or a name
 */
import { BYTES, type Mode, OPCODES } from "./opcodes.js";

/** Values of names that the source does not define itself. */
export type Symbols = Readonly<Record<string, number>>;

interface Statement {
  readonly line: number;
  readonly address: number;
  readonly size: number;
  /** The bytes, once all names are known. */
  emit(): number[];
}

const TERM = /^(?:\$([0-9a-f]+)|%([01]+)|(\d+)|([a-z_]\w*))$/i;
const BRANCH_MIN = -128;
const BRANCH_MAX = 127;

/**
 * The bytes of `source` from `origin` on.
 * @throws SyntaxError that names the line, for what is no statement, an unknown name or a branch too far
 */
export function assemble(source: string, origin: number, given: Symbols = {}): Uint8Array {
  const pass = new FirstPass(origin, given);
  source.split("\n").forEach((text, i) => {
    atLine(i + 1, () => pass.read(text.replace(/;.*/, "").trim(), i + 1));
  });
  const bytes = new Uint8Array(pass.address - origin);
  for (const { line, address, size, emit } of pass.statements) {
    const emitted = atLine(line, emit);
    if (emitted.length !== size) throw new SyntaxError(`line ${line}: ${emitted.length} bytes, not ${size}`);
    bytes.set(emitted, address - origin);
  }
  return bytes;
}

function atLine<T>(line: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new SyntaxError(`line ${line}: ${(error as Error).message}`);
  }
}

class FirstPass {
  readonly statements: Statement[] = [];
  address: number;
  readonly #symbols: Map<string, number>;

  constructor(origin: number, given: Symbols) {
    this.address = origin;
    this.#symbols = new Map(Object.entries(given));
  }

  read(text: string, line: number): void {
    const label = /^(\w+):\s*/.exec(text);
    const constant = /^(\w+)\s*=\s*(.+)$/.exec(text);
    const [, word, operand] = /^(\.?\w+)\s*(.*)$/.exec(text) ?? [];
    if (label !== null) {
      this.#define(label[1]!, this.address);
      this.read(text.slice(label[0].length), line);
    } else if (constant !== null) this.#define(constant[1]!, this.#value(constant[2]!));
    else if (word !== undefined) this.#statement(word, operand!.trim(), line);
    else if (text !== "") throw new Error(`not a statement: ${text}`);
  }

  #define(name: string, value: number): void {
    if (this.#symbols.has(name)) throw new Error(`${name} is defined already`);
    this.#symbols.set(name, value);
  }

  #statement(word: string, operand: string, line: number): void {
    if (word === ".org") {
      const target = this.#value(operand);
      if (target < this.address) throw new Error(`.org goes back from ${this.address} to ${target}`);
      this.address = target;
    } else if (word === ".byte" || word === ".word") {
      const width = word === ".byte" ? 1 : 2;
      const items = operand.split(",");
      this.#add(line, items.length * width, () => items.flatMap((item) => little(this.#value(item), width)));
    } else this.#instruction(word.toLowerCase(), operand, line);
  }

  #add(line: number, size: number, emit: () => number[]): void {
    this.statements.push({ line, address: this.address, size, emit });
    this.address += size;
  }

  #instruction(mnemonic: string, operand: string, line: number): void {
    const { mode, expression } = this.#modeOf(mnemonic, operand);
    const opcode = OPCODES.get(`${mnemonic} ${mode}`);
    if (opcode === undefined) throw new Error(`no such instruction: ${mnemonic} ${operand}`);
    const next = this.address + BYTES[mode];
    this.#add(line, BYTES[mode], () => {
      if (expression === undefined) return [opcode];
      if (mode !== "rel") return [opcode, ...little(this.#value(expression), BYTES[mode] - 1)];
      const distance = this.#value(expression) - next;
      if (distance < BRANCH_MIN || distance > BRANCH_MAX) throw new Error(`${operand} is ${distance} away`);
      return [opcode, distance & 0xff];
    });
  }

  #modeOf(mnemonic: string, operand: string): { mode: Mode; expression?: string } {
    if (operand === "") return { mode: OPCODES.has(`${mnemonic} imp`) ? "imp" : "acc" };
    if (OPCODES.has(`${mnemonic} rel`)) return { mode: "rel", expression: operand };
    const [, immediate] = /^#(.+)$/.exec(operand) ?? [];
    if (immediate !== undefined) return { mode: "imm", expression: immediate };
    const [, inside, x, y] = /^\(([^,)]+)(?:(,\s*x)\)|\)(,\s*y)?)$/i.exec(operand) ?? [];
    if (inside !== undefined) {
      return { mode: x !== undefined ? "indx" : y !== undefined ? "indy" : "ind", expression: inside };
    }
    const [, expression, index = ""] = /^([^,]+?)(?:,\s*([xy]))?$/i.exec(operand) ?? [];
    if (expression === undefined) throw new Error(`not an operand: ${operand}`);
    const short = `zp${index.toLowerCase()}` as Mode;
    const inZeroPage = OPCODES.has(`${mnemonic} ${short}`) && this.#isZeroPage(expression);
    return { mode: inZeroPage ? short : (`abs${index.toLowerCase()}` as Mode), expression };
  }

  /** What is not known yet is a label further down, and no program is in the zero page. */
  #isZeroPage(expression: string): boolean {
    const names = expression.replace(/\$[0-9a-f]+/gi, "").match(/\b[a-z_]\w*/gi) ?? [];
    if (names.some((name) => !this.#symbols.has(name))) return false;
    const value = this.#value(expression);
    return value >= 0 && value < 0x100;
  }

  #value(expression: string): number {
    const [, part, sum] = /^\s*([<>]?)(.*)$/.exec(expression)!;
    const terms = sum!.match(/[+-]?[^+-]+/g) ?? [];
    const value = terms.reduce((total, text) => {
      const sign = text.startsWith("-") ? -1 : 1;
      return total + sign * this.#term(text.replace(/^[+-]/, "").trim());
    }, 0);
    if (part === "") return value;
    return part === "<" ? value & 0xff : (value >> 8) & 0xff;
  }

  #term(text: string): number {
    const [, hex, binary, decimal, name] = TERM.exec(text) ?? [];
    if (hex !== undefined) return Number.parseInt(hex, 16);
    if (binary !== undefined) return Number.parseInt(binary, 2);
    if (decimal !== undefined) return Number.parseInt(decimal, 10);
    const value = name === undefined ? undefined : this.#symbols.get(name);
    if (value === undefined) throw new Error(`unknown: ${text === "" ? "nothing" : text}`);
    return value;
  }
}

function little(value: number, width: number): number[] {
  if (value < 0 || value >= 2 ** (8 * width)) throw new Error(`${value} does not fit into ${width} bytes`);
  return width === 1 ? [value] : [value & 0xff, value >> 8];
}
