/** What an installed package must have: its entries, what these import, the documents and where their links lead. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, posix } from "node:path";
import ts from "typescript";
import { ROOT } from "../docs/blocks.js";
import { anchorsOf, linksOf } from "../tidy/project.js";

/** Links into the repository lead to a file that is not in the package. */
const REPOSITORY = /^https:\/\/github\.com\/memslots\/memslots\/(?:blob|tree|raw)\/main\/([^#]*)/;
const PARTS = [
  ...[
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "include/memslots.h",
    "include/memslots.rs",
    "docs/img/one-list.svg",
  ],
  "dist/THIRD-PARTY-LICENSES.txt",
];
/** Bundled: their licences must come with them. */
const BUNDLED = ["@assemblyscript/loader", "commander"];
/** Nothing else belongs to users. */
const EXPECTED =
  /^(dist|include|docs|licenses|schema|completion|man)\/|^(package\.json|README\.md|[A-Z]+[\w.-]*)$/;

/** Problems of a package in a folder, one line each. */
export function packageProblems(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const has = new Set(files);
  const text = (file: string) => readFileSync(join(folder, file), "utf8");
  const manifest = JSON.parse(text("package.json"));
  const named = [
    ...[manifest.exports, manifest.main, manifest.types, manifest.bin, manifest.man].flatMap(namedFiles),
  ];
  return [
    ...[...PARTS, ...named.map((path) => posix.normalize(path))]
      .filter((path) => !has.has(path))
      .map((path) => `${path} is missing`),
    ...(has.has("dist/THIRD-PARTY-LICENSES.txt") ? BUNDLED : [])
      .filter((name) => !text("dist/THIRD-PARTY-LICENSES.txt").includes(name))
      .map((name) => `the licence of ${name} is missing`),
    ...files.filter((path) => !EXPECTED.test(path)).map((path) => `${path} does not belong there`),
    ...files
      .filter((path) => /\.(js|d\.ts)$/.test(path))
      .flatMap((path) => importProblems(path, text(path), has, manifest)),
    ...files.filter((path) => path.endsWith(".md")).flatMap((path) => linkProblems(path, text, has)),
  ];
}

function namedFiles(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(namedFiles) : [];
}

/** Imports of files that are not there, or of packages that an installation does not have. */
function importProblems(
  path: string,
  text: string,
  has: ReadonlySet<string>,
  { name, peerDependencies = {}, dependencies = {} }: Record<string, Record<string, string>>,
): string[] {
  const known = new Set([...Object.keys(peerDependencies), ...Object.keys(dependencies), name as unknown]);
  return ts.preProcessFile(text).importedFiles.flatMap(({ fileName }) => {
    if (fileName.startsWith(".")) {
      const to = posix.join(dirname(path), fileName);
      return has.has(to) || has.has(to.replace(/\.js$/, ".d.ts")) ? [] : [`${path} imports ${to}`];
    }
    const root = fileName.split("/")[0]!;
    const builtin = fileName.startsWith("node:") || builtinModules.includes(fileName);
    return builtin || known.has(root) ? [] : [`${path} imports the package ${fileName}`];
  });
}

function linkProblems(path: string, text: (file: string) => string, has: ReadonlySet<string>): string[] {
  return linksOf(text(path)).flatMap(({ line, target }) => {
    const inRepository = REPOSITORY.exec(target)?.[1];
    if (inRepository !== undefined) {
      return existsSync(join(ROOT, inRepository))
        ? []
        : [`${path}:${line}: no ${inRepository} in the repository`];
    }
    if (/^[a-z]+:/.test(target)) return [];
    const [name = "", anchor] = target.split("#");
    const to = name === "" ? path : posix.join(dirname(path), name);
    if (!has.has(to)) return [`${path}:${line}: the package has no ${to}`];
    if (anchor === undefined || anchorsOf(text(to)).includes(anchor)) return [];
    return [`${path}:${line}: ${to} has no heading #${anchor}`];
  });
}
