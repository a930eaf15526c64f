/**
 * A plugin of typedoc, which arranges the reference as the sources and README.md do:
 *
 *  - A document's name is its first heading. Documents stand in the order of README.md's tables.
 *  - A symbol's category is the room of src/ that it comes from; a member's is the comment `// ---- category ----`
 *    that stands above it in its class.
 *  - The first page has no badges, and no second title.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Converter, ReflectionCategory, ReflectionKind } from "typedoc";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
/** Rooms by the beginning of their files' paths, in the order of the reference. */
const ROOMS = [
  ["src/engine.ts", "The engine"],
  ["src/core/", "The engine"],
  ["src/runtime/", "The engine"],
  ["src/write/", "Changing the map"],
  ["src/read/", "Reading the map"],
  ["src/guest/", "Guest memory"],
  ["src/dirty/", "Dirty pages"],
  ["src/save/", "Saving and restoring"],
  ["src/trace/", "Recording"],
  ["src/flatview/pc/", "PC recipes"],
  ["src/flatview/text/", "Readers and writers of dumps"],
  ["src/flatview/", "Trees of regions"],
  ["src/v86/", "v86"],
  ["src/kvm/", "KVM's interface"],
];
/** In a room, what is called comes before what is passed. */
const CALLED = ReflectionKind.Class | ReflectionKind.Function;
const SECTION = /^ *\/\/ ---- (.+) ----$/;
const CLASS = /^(?:export )?(?:class|interface) /;

/** The documents in the order in which README.md's tables list them. */
function documentsOf(readme) {
  return [...readme.matchAll(/^\| \[(docs\/[\w-]+\.md)\]/gm)].map(([, path]) => path);
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

function sourceOf(reflection) {
  const target = reflection.isReference() ? reflection.getTargetReflectionDeep() : reflection;
  return target.sources?.[0];
}

function roomOf(symbol) {
  const path = sourceOf(symbol)?.fullFileName.slice(ROOT.length);
  const at = ROOMS.findIndex(([start]) => path?.startsWith(start));
  if (at < 0) throw new Error(`${symbol.name} of ${path}: no room in tools/reference.mjs`);
  return { title: ROOMS[at][1], at: at + (symbol.kindOf(CALLED) ? 0 : 0.5) };
}

/** The comment above a member, or the plural of its kind. */
function sectionOf(member) {
  const { fullFileName, line } = sourceOf(member) ?? {};
  const lines = fullFileName === undefined ? [] : readFileSync(fullFileName, "utf8").split("\n");
  for (let at = line - 1; at >= 0 && !CLASS.test(lines[at]); at--) {
    const section = SECTION.exec(lines[at])?.[1];
    if (section !== undefined) return { title: capital(section), at };
  }
  return { title: ReflectionKind.pluralString(member.kind), at: -1 };
}

/** Give `parent` the categories of its children in the order of their places, unless all are in one. */
function categorize(parent, placeOf) {
  const categories = new Map();
  const placed = parent.children.map((child) => ({ child, place: placeOf(child) }));
  for (const { child, place } of placed.sort((a, b) => a.place.at - b.place.at)) {
    const category = categories.get(place.title) ?? new ReflectionCategory(place.title);
    category.children.push(child);
    categories.set(place.title, category);
  }
  if (categories.size > 1) parent.categories = [...categories.values()];
}

/** @param {import("typedoc").Application} app */
export function load(app) {
  const order = documentsOf(readFileSync(`${ROOT}README.md`, "utf8"));
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, document) => {
    const first = document.content.map(({ text }) => text).join("");
    const heading = /^# (.+)$/m.exec(first)?.[1];
    if (heading !== undefined) document.name = heading.replaceAll("`", "");
  });
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const part of project.readme ?? []) {
      if (part.kind === "text") part.text = part.text.replace(/^# .*\n/, "").replace(/^\[!\[.*\n?/gm, "");
    }
    const placeOf = (child) => {
      if (!child.isDocument()) return order.length;
      const path = project.files.getReflectionPath(child).slice(ROOT.length);
      if (!order.includes(path)) throw new Error(`${path} is in no table of README.md`);
      return order.indexOf(path);
    };
    for (const children of [project.documents, project.childrenIncludingDocuments]) {
      children.sort((a, b) => placeOf(a) - placeOf(b));
    }
    for (const module of project.getChildrenByKind(ReflectionKind.Module)) {
      categorize(module, roomOf);
      for (const child of module.children ?? []) {
        if (child.kindOf(ReflectionKind.ClassOrInterface) && child.children?.length > 10)
          categorize(child, sectionOf);
      }
    }
  });
}
