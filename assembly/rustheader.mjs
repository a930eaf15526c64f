/** The layout as a Rust module, for an emulator in Rust that calls the core without JavaScript in between. */
import { fieldsOf, LIST, snake } from "./abilist.mjs";

const RUST_TYPES = {
  bool: "u32",
  f64: "f64",
  i32: "i32",
  i64: "i64",
  u32: "u32",
  u64: "u64",
  u8: "u8",
  usize: "u32",
};

/** Where rustfmt breaks a line of code. */
const WIDTH = 100;

function typeOf(type, where) {
  const known = RUST_TYPES[type];
  if (known === undefined) throw new Error(`${where}: no Rust type for ${type}`);
  return known;
}

/** Names with capitals in them, which Rust spells otherwise. */
function camelNames({ classes, functions }) {
  const members = classes.flatMap(({ fields }) => fields);
  const parameters = functions.flatMap((one) => one.parameters);
  const names = [...functions, ...members, ...parameters].map(({ name }) => name);
  return new Set(names.filter((name) => /[a-z][A-Z]/.test(name)));
}

/**
 * Writes documentation comments: paragraphs filled anew, because names change their length; drawings, whose lines begin
 * with a space, as they are; no bracket a link.
 */
function documenter(layout) {
  const camel = camelNames(layout);
  const renamed = (text) => text.replace(/[A-Za-z]\w*/g, (word) => (camel.has(word) ? snake(word) : word));
  return (doc = "", indent = "") => {
    const start = `${indent}///`;
    const lines = [];
    for (const part of doc === "" ? [] : doc.split("\n\n")) {
      if (lines.length > 0) lines.push(start);
      const isDrawing = part.split("\n").every((line) => line.startsWith(" "));
      const drawn = () => part.split("\n").map((line) => `${start} ${line}`.trimEnd());
      if (isDrawing) lines.push(`${start} \`\`\`text`, ...drawn(), `${start} \`\`\``);
      else lines.push(...filled(renamed(part).replace(/[[\]]/g, "\\$&").split(/\s+/), start));
    }
    return lines;
  };
}

/**
 * Words on as few lines as WIDTH allows, each line begun by `start`. A sign or "1." stays behind its word: in front of a
 * line it would begin a list.
 */
function filled(words, start) {
  const lines = [];
  for (const word of words) {
    const longer = `${lines.at(-1)} ${word}`;
    const stays = longer.length <= WIDTH || /^([-+*]|\d+\.)$/.test(word);
    if (lines.length > 0 && stays) lines[lines.length - 1] = longer;
    else lines.push(`${start} ${word}`);
  }
  return lines;
}

const constantLine = (name, type, value) => `pub const ${name}: ${type} = ${value};`;
const sizeLine = ({ name, bytes }) => `const _: () = assert!(core::mem::size_of::<${name}>() == ${bytes});`;

function structLines({ name, bytes, doc }, fields, comment) {
  return [
    "",
    ...comment(doc),
    "#[repr(C)]",
    "#[derive(Clone, Copy, Debug)]",
    `pub struct ${name} {`,
    ...fields.flatMap((field) => [
      ...comment(field.doc, "    "),
      `    pub ${snake(field.name)}: ${field.rust},`,
    ]),
    "}",
    sizeLine({ name, bytes }),
  ];
}

function classLines(of, classes, comment) {
  const typed = fieldsOf(of, classes).map((field) => ({
    ...field,
    rust: typeOf(field.type, `${of.name}.${field.name}`),
  }));
  return structLines(of, typed, comment);
}

function listLines({ doc, classes }, comment) {
  const typeIn = ({ type, count }) => {
    const element = RUST_TYPES[type] ?? type;
    return count === undefined ? element : `[${element}; ${count}]`;
  };
  return classes.flatMap((of, i) => {
    const fields = of.fields.map((field) => ({ ...field, rust: typeIn(field) }));
    return structLines({ ...of, doc: i === 0 ? doc : undefined }, fields, comment);
  });
}

function functionLines({ name, doc, parameters, type, group }, i, comment) {
  const list = parameters.map((p) => `${snake(p.name)}: ${typeOf(p.type, `${name}, ${p.name}`)}`);
  const end = type === "void" ? ");" : `) -> ${typeOf(type, name)};`;
  const start = `    pub fn ${snake(name)}(`;
  const line = `${start}${list.join(", ")}${end}`;
  return [
    ...(i === 0 ? [] : [""]),
    ...(group === undefined ? [] : [`    // ---- ${group} ----`, ""]),
    ...comment(doc, "    "),
    ...(snake(name) === name ? [] : [`    #[link_name = "${name}"]`]),
    ...(line.length <= WIDTH ? [line] : [start, ...list.map((p) => `        ${p},`), `    ${end}`]),
  ];
}

/** What an emulator inlines: the only function that is no import. */
const PROBE = `
/// Host address of the \`bytes\` (1, 2, 4, 8) at guest byte \`gpa\`; \`None\` is a miss: then
/// \`fill_tlb\` knows. \`access\` is a constant, \`TLB_READ\`, \`TLB_WRITE\` or \`TLB_CODE\`. An access that
/// is not aligned is a miss, so that none goes beyond its page: probe its bytes.
///
/// # Safety
///
/// \`tlb\` is \`tlb_of(reader)\`, not 0, and the thread of that reader calls, inside a section.
#[inline(always)]
pub unsafe fn probe_tlb(tlb: u32, gpa: u64, bytes: u32, access: u32) -> Option<u64> {
    let head = &*(tlb as usize as *const Tlb);
    let page = (gpa >> head.page_shift) as u32;
    let index = (page ^ page >> 6 ^ page >> 12) & head.index_mask;
    let entry = &*((tlb + TLB_BYTES + index * TLB_ENTRY_BYTES) as usize as *const TlbEntry);
    let tag = match access {
        TLB_WRITE => entry.write,
        TLB_CODE => entry.code,
        _ => entry.read,
    };
    if tag == gpa & (head.page_mask | u64::from(bytes - 1)) {
        Some(gpa.wrapping_add(entry.addend as u64))
    } else {
        None
    }
}`;

/** The text of include/memslots.rs. */
export function rustOf(layout) {
  const { hash, constants, classes, functions, errors, flags, answers } = layout;
  const comment = documenter(layout);
  return [
    "// Generated by assembly/layout.gen.mjs from assembly/layout.ts and assembly/index.ts. Do not edit.",
    "",
    "//! The wasm ABI of memslots in Rust, for a crate of edition 2018 or 2021, with or without `std`;",
    "//! docs/abi.md shows how to call it. A file of the crate takes it in as a module:",
    "//!",
    "//! ```ignore",
    '//! #[path = "../node_modules/memslots/include/memslots.rs"]',
    "//! mod memslots;",
    "//! ```",
    "//!",
    "//! Addresses in the linear memory are `u32`, guest and host addresses are `f64`, exact up to 2^53.",
    "//! All functions are unsafe to call: a wrong address of an engine or a reader is a wild pointer.",
    "#![allow(dead_code)]",
    "",
    "/// What `check_stamp` is asked about: the layout that this module tells of.",
    constantLine("LAYOUT_HASH", "u32", `0x${hash.toString(16).padStart(8, "0")}`),
    "",
    "// Answers of a translation that are no host address.",
    ...answers.map(([name, value]) => constantLine(name, "f64", `${value}.0`)),
    "",
    "// Error numbers, negated as a kernel function returns them.",
    ...errors.map(([name, value]) => constantLine(name, "i32", value)),
    "",
    "// Flags of a slot, as in linux/kvm.h.",
    ...flags.map(([name, value]) => constantLine(name.replace("KVM_", ""), "u32", `${value}`)),
    "",
    ...constants.flatMap(({ name, value, doc }) => [...comment(doc), constantLine(name, "u32", value)]),
    ...classes.flatMap((of) => classLines(of, classes, comment)),
    ...listLines(LIST, comment),
    "",
    '#[cfg_attr(target_arch = "wasm32", link(wasm_import_module = "memslots"))]',
    'extern "C" {',
    ...functions.flatMap((one, i) => functionLines(one, i, comment)),
    "}",
    PROBE,
    "",
  ].join("\n");
}
