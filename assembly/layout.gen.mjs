/**
 * Writes the core as other languages see it: in TypeScript src/core/layout.ts, the memory map, src/core/constants.ts, its
 * constants, and src/core/exports.ts, the types of the wasm exports; in C include/memslots.h and in Rust
 * include/memslots.rs, which have all three.
 *
 * The classes and constants of assembly/layout.ts are listed from its syntax; their offsets and values are computed by
 * the AssemblyScript compiler itself, so that the sides can not differ. The layout hash covers all of them.
 *
 *   node assembly/layout.gen.mjs            write all
 *   import { generate } from "..."          the texts only (the drift test)
 */
import { createHash } from "node:crypto";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import ts from "typescript";
import { headerOf } from "./cheader.mjs";
import { rustOf } from "./rustheader.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const parse = (name) =>
  ts.createSourceFile(name, readFileSync(here(name), "utf8"), ts.ScriptTarget.ES2022, true);

/** Name, type as written, and comment of a constant, field, or parameter. */
const partOf = (node, type = node.type.getText()) => ({ name: node.name.getText(), type, doc: docOf(node) });

/** The text of the comment in front of a node. */
function docOf(node) {
  const doc = ts.getJSDocCommentsAndTags(node).at(-1)?.getText() ?? "";
  return doc.replace(/^\/\*\*|\*\/$|^ *\*(?!\/) ?/gm, "").trim();
}

/** Classes and constants of the memory map, in the order of the file. */
function readMap() {
  const classes = [];
  const constants = [];
  for (const node of parse("./layout.ts").statements) {
    if (ts.isClassDeclaration(node)) {
      const base = node.heritageClauses?.[0]?.types[0]?.getText();
      const fields = node.members.map((member) => partOf(member));
      classes.push({ name: node.name.text, base, doc: docOf(node), fields });
    } else if (ts.isVariableStatement(node)) {
      for (const declaration of node.declarationList.declarations) {
        constants.push({ ...partOf(declaration), doc: docOf(node) });
      }
    }
  }
  return { classes, constants };
}

const isPadding = ({ name }) => /^(pad|reserved)\d+$/.test(name);

/** Constants of a module that is not the map, whose values are written out. */
function readConstants(module, pattern) {
  return [...readFileSync(here(module), "utf8").matchAll(pattern)].map(([, name, value]) => [name, value]);
}

/** Values of AssemblyScript expressions, by compiling functions that return them. */
async function evaluate(names, expressions) {
  const source = [
    `import { ${names.join(", ")} } from "./layout";`,
    ...expressions.map((expression, i) => `export function value${i}(): f64 { return <f64>${expression}; }`),
  ].join("\n");
  let binary;
  const { error, stderr } = await asc.main(
    ["values.ts", "--outFile", "values.wasm", "--runtime", "stub", "--use", "abort=", "--noAssert"],
    {
      readFile: (name, base) => {
        if (name.endsWith("values.ts")) return source;
        if (name.endsWith("layout.ts") && base !== undefined)
          return readFileSync(here("./layout.ts"), "utf8");
        return null;
      },
      writeFile: (_name, data) => {
        binary = data;
      },
      listFiles: () => [],
    },
  );
  if (error) throw new Error(`${error.message}\n${stderr.toString()}`);
  const { instance } = await WebAssembly.instantiate(binary);
  return expressions.map((_, i) => instance.exports[`value${i}`]());
}

const TS_TYPES = {
  u32: "number",
  i32: "number",
  usize: "number",
  f64: "number",
  bool: "number",
  void: "void",
  u64: "bigint",
};

/** The functions of the ABI page, each with what the page says above its group. */
function readFunctions() {
  const page = parse("./index.ts");
  return page.statements.filter(ts.isExportDeclaration).flatMap((node) => {
    const module = parse(`${node.moduleSpecifier.text}.ts`);
    const group = /\/\/ (.*)\n$/.exec(page.text.slice(node.pos, node.getStart()))?.[1];
    return node.exportClause.elements.map(({ name }, i) => {
      const declaration = module.statements.find(
        (s) => ts.isFunctionDeclaration(s) && s.name.text === name.text,
      );
      if (!declaration)
        throw new Error(`index.ts exports ${name.text}, which is no function of ${module.fileName}`);
      const parameters = declaration.parameters.map((p) => partOf(p));
      return { ...partOf(declaration), parameters, group: i === 0 ? group : undefined };
    });
  });
}

/** One line per function, with the types that JavaScript passes. */
function exportLine({ name, parameters, type }) {
  const typeOf = (text) => TS_TYPES[text] ?? fail(name, text);
  const list = parameters.map((parameter) => `${parameter.name}: ${typeOf(parameter.type)}`);
  return `  ${name}(${list.join(", ")}): ${typeOf(type)};`;
}

function fail(name, type) {
  throw new Error(`${name}: no TypeScript type for ${type}`);
}

const constantName = (text) => text.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase();

/** Words on as few lines as their width allows, indented. */
function packed(words) {
  const lines = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`  ${word}`);
  }
  return lines;
}

const WIDTH = 118;
const offsetName = (struct, field) => `${constantName(struct)}_${constantName(field)}_OFFSET`;

/** All that there is to say about the layout. */
async function readLayout() {
  const { classes, constants } = readMap();
  const fields = classes.flatMap((of) =>
    of.fields.filter((f) => !isPadding(f)).map((f) => [of.name, f.name]),
  );
  const names = constants.map(({ name }) => name);
  const expressions = [...names, ...fields.map(([name, field]) => `offsetof<${name}>("${field}")`)];
  const sizes = classes.map(({ name }) => `offsetof<${name}>()`);
  const imported = [...classes.map(({ name }) => name), ...names];
  const all = await evaluate(imported, [...expressions, ...sizes]);
  const values = all.slice(0, expressions.length);
  const functions = readFunctions();
  const hash = createHash("sha256")
    .update(JSON.stringify([expressions, values, functions.map(exportLine)]))
    .digest()
    .readUInt32LE(0);
  const offsets = new Map(fields.map(([name, field], i) => [`${name}.${field}`, values[names.length + i]]));
  return {
    hash,
    constants: constants.map((constant, i) => ({ ...constant, value: values[i] })),
    classes: classes.map((of, i) => ({ ...of, bytes: all[expressions.length + i] })),
    offsetOf: (name, field) => offsets.get(`${name}.${field}`),
    functions,
    errors: readConstants("./errno.ts", /export const (E\w+): i32 = (-\d+);/g),
    flags: readConstants("./validate.ts", /export const (KVM_MEM_\w+): u32 = (\d+);/g),
    answers: readConstants("./lookup.ts", /export const (HVA_\w+): f64 = (-\d+);/g),
  };
}

/** The text of src/core/constants.ts. */
function constantsOf({ hash, constants }) {
  return [
    "/**",
    " * Generated by assembly/layout.gen.mjs from assembly/layout.ts and assembly/index.ts. Do not edit.",
    " */",
    "",
    "/** Hash of the whole layout; memories and modules of different hashes do not work together. */",
    `export const LAYOUT_HASH = 0x${hash.toString(16).padStart(8, "0")};`,
    "",
    ...constants.map(({ name, value }) => `export const ${name} = ${value};`),
    "",
  ].join("\n");
}

/** The text of src/core/layout.ts. */
function typescriptOf({ classes, offsetOf }) {
  const lines = [
    "/**",
    " * Generated by assembly/layout.gen.mjs from assembly/layout.ts. Do not edit.",
    " */",
    'export * from "./constants.js";',
  ];
  for (const { name, fields } of classes) {
    // A constant each, which bundlers put in place of its name, and an object for those who look fields up.
    const struct = constantName(name);
    const own = fields.filter((field) => !isPadding(field));
    lines.push("", `/** Byte offsets of the fields of ${name}. */`);
    for (const field of own) {
      lines.push(`export const ${offsetName(name, field.name)} = ${offsetOf(name, field.name)};`);
    }
    lines.push(`export const ${struct} = {`);
    lines.push(...packed(own.map((field) => `${field.name}: ${offsetName(name, field.name)},`)));
    lines.push("} as const;");
  }
  return [...lines, ""].join("\n");
}

/** The text of src/core/exports.ts. */
function exportsOf({ functions }) {
  return [
    "/**",
    " * Generated by assembly/layout.gen.mjs from assembly/index.ts. Do not edit.",
    " */",
    "",
    "/** The functions of assembly/index.ts. */",
    "export interface EngineExports {",
    ...functions.map(exportLine),
    "}",
    "",
  ].join("\n");
}

/** The text of each file, by its path from the root. */
export async function generate() {
  const layout = await readLayout();
  return {
    "src/core/constants.ts": constantsOf(layout),
    "src/core/layout.ts": typescriptOf(layout),
    "src/core/exports.ts": exportsOf(layout),
    "include/memslots.h": headerOf(layout),
    "include/memslots.rs": rustOf(layout),
  };
}

if (process.argv[1] && realpathSync(process.argv[1]) === here(import.meta.url)) {
  for (const [path, text] of Object.entries(await generate())) writeFileSync(here(`../${path}`), text);
}
