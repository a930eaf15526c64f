/**
 * RISC-V assembly text to bytes, in two passes: places first, then words. GNU's syntax as far as it goes:
 * labels, local labels (`1:`, `1b`, `1f`), the pseudo-instructions of pseudo.ts, and these directives:
 *
 *   .word VALUE, ...    .space BYTES    .align POWER    .org ADDRESS    .equ NAME, VALUE    .asciz "TEXT"
 *
 * Comments begin with #. The text is placed at an address given by the caller, there is no linker.
 */
import { evaluate, type Scope } from "./expression.js";
import { CSRS, FIELDS, type FieldName, ORDER_LETTERS, REGISTERS } from "./fields.js";
import { encode, type Instruction, instructionNamed } from "./isa.js";
import { expand, type Spelled } from "./pseudo.js";

export interface Program {
  /** Address of the first byte. */
  readonly base: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly symbols: ReadonlyMap<string, number>;
}

/** One instruction or directive with its place. */
interface Item extends Spelled {
  readonly line: number;
  readonly address: number;
}

interface Line {
  readonly number: number;
  readonly labels: readonly string[];
  readonly name: string;
  readonly operands: readonly string[];
}

const REGISTER_NUMBERS = new Map([
  ...REGISTERS.map((name, number) => [name, number] as const),
  ...REGISTERS.map((_, number) => [`x${number}`, number] as const),
  ["fp", 8] as const,
]);

function readLine(text: string, number: number): Line {
  let rest = text.replace(/#.*$/, "").trim();
  const labels: string[] = [];
  for (let label = /^([\w.]+):\s*/.exec(rest); label !== null; label = /^([\w.]+):\s*/.exec(rest)) {
    labels.push(label[1]!);
    rest = rest.slice(label[0].length);
  }
  const [name = ""] = rest.split(/\s/, 1);
  const list = rest.slice(name.length).trim();
  const operands = name === ".asciz" ? [list] : list === "" ? [] : list.split(",").map((one) => one.trim());
  return { number, labels, name, operands };
}

function isLocal(label: string): boolean {
  return /^\d+$/.test(label);
}

function textOf(quoted: string): Uint8Array {
  return new TextEncoder().encode(`${JSON.parse(quoted)}\0`);
}

class Assembly {
  readonly #symbols = new Map<string, number>();
  readonly #locals: { label: string; address: number }[] = [];
  readonly #items: Item[] = [];
  readonly #base: number;
  #address: number;

  constructor(base: number, symbols: Readonly<Record<string, number>>) {
    this.#base = base;
    this.#address = base;
    for (const [name, value] of Object.entries(symbols)) this.#symbols.set(name, value);
  }

  /** First pass: labels get their addresses, directives their sizes. */
  place({ number, labels, name, operands }: Line): void {
    if (name === ".align") {
      const size = 2 ** this.#known(operands[0]!);
      this.#address = Math.ceil(this.#address / size) * size;
    }
    if (name === ".org") this.#moveTo(this.#known(operands[0]!));
    for (const label of labels) this.#define(label, this.#address);
    if (name === "" || name === ".align" || name === ".org") return;
    if (name === ".equ") {
      this.#define(operands[0]!, this.#known(operands[1]!));
      return;
    }
    for (const one of name.startsWith(".") ? [{ name, operands }] : expand(name, operands)) {
      this.#items.push({ ...one, line: number, address: this.#address });
      this.#address += this.#sizeOf(one);
    }
  }

  #moveTo(address: number): void {
    if (address < this.#address) throw new Error(`.org goes back from 0x${this.#address.toString(16)}`);
    this.#address = address;
  }

  #define(label: string, value: number): void {
    if (isLocal(label)) this.#locals.push({ label, address: value });
    else if (this.#symbols.has(label)) throw new Error(`"${label}" is there already`);
    else this.#symbols.set(label, value);
  }

  /** A value that the first pass needs: its symbols come before it. */
  #known(text: string): number {
    return evaluate(text, this.#scopeAt(this.#address));
  }

  #sizeOf({ name, operands }: Spelled): number {
    if (name === ".word") return operands.length * 4;
    if (name === ".space") return this.#known(operands[0]!);
    if (name === ".asciz") return textOf(operands[0]!).length;
    if (name.startsWith(".")) throw new Error(`unknown directive ${name}`);
    return 4;
  }

  #scopeAt(address: number): Scope {
    return {
      symbols: this.#symbols,
      nearest: (label, forward) => {
        const same = this.#locals.filter((local) => local.label === label);
        const found = forward
          ? same.find((local) => local.address > address)
          : same.reverse().find((local) => local.address <= address);
        return found?.address;
      },
    };
  }

  /** Second pass. */
  write(onLine: (line: number) => void): Program {
    const bytes = new Uint8Array(this.#address - this.#base);
    const view = new DataView(bytes.buffer);
    for (const item of this.#items) {
      onLine(item.line);
      const at = item.address - this.#base;
      const scope = this.#scopeAt(item.address);
      if (item.name === ".asciz") bytes.set(textOf(item.operands[0]!), at);
      else if (item.name === ".word")
        item.operands.forEach((text, i) => {
          view.setUint32(at + i * 4, evaluate(text, scope), true);
        });
      else if (item.name !== ".space") view.setUint32(at, wordOf(item, scope), true);
    }
    return { base: this.#base, bytes, symbols: this.#symbols };
  }
}

/** `1(a0)` as the two operands that it is. */
function operandsOf({ syntax }: Instruction, { name, operands }: Item): string[] {
  const pattern = syntax.replace(/[()]/g, "\\$&").replace(/\w+/g, "(.*?)");
  const values = new RegExp(`^${pattern}$`).exec(operands.join(","));
  if (values === null) throw new Error(`operands of ${name} are ${syntax === "" ? "none" : syntax}`);
  return values.slice(1).map((text) => text.trim());
}

function operandValue(name: FieldName, text: string, scope: Scope, address: number): number {
  const { notation, min, max, step } = FIELDS[name];
  if (notation === "register") {
    const register = REGISTER_NUMBERS.get(text);
    if (register === undefined) throw new Error(`"${text}" is no register`);
    return register;
  }
  if (notation === "csr" && Object.hasOwn(CSRS, text)) return CSRS[text]!;
  if (notation === "order" && /^[iorw]+$/.test(text))
    return [...text].reduce((set, letter) => set | (8 >> ORDER_LETTERS.indexOf(letter)), 0);
  const value = evaluate(text, scope) - (notation === "address" ? address : 0);
  if (value < min || value > max || value % step !== 0) {
    throw new Error(`${name} is ${value}, not a multiple of ${step} from ${min} to ${max}`);
  }
  return value;
}

function wordOf(item: Item, scope: Scope): number {
  const instruction = instructionNamed(item.name);
  if (instruction === undefined) throw new Error(`unknown instruction ${item.name}`);
  const texts = operandsOf(instruction, item);
  return encode(
    instruction,
    instruction.fields.map((field, i) => operandValue(field, texts[i]!, scope, item.address)),
  );
}

/**
 * Assemble `text` for address `base`. `symbols` are known to it, as by .equ.
 * @throws Error naming the line
 */
export function assemble(
  text: string,
  base: number,
  symbols: Readonly<Record<string, number>> = {},
): Program {
  const assembly = new Assembly(base, symbols);
  let line = 0;
  try {
    for (const source of text.split("\n")) assembly.place(readLine(source, ++line));
    return assembly.write((number) => {
      line = number;
    });
  } catch (error) {
    throw new Error(`line ${line}: ${(error as Error).message}`);
  }
}
