/** The rules that look at all files together: who imports whom, and whether what a text names is there. */
import { dirname, posix } from "node:path";
import ts from "typescript";
import { importsOf } from "./imports.js";
import { rooms } from "./rooms.js";
import { isCore, proseOf } from "./rules.js";
import type { Finding, Project, Source } from "./source.js";
import { codeWordsOf, commentsOf, findingAt, isScript, nodesOf, wordsOf } from "./syntax.js";

export type ProjectRule = (project: Project) => Finding[];

/** The core, lowest first: each file may import those before it and no other. */
export const LAYERS: readonly string[] = [
  "errno",
  "layout",
  "atomic",
  "retired",
  "records",
  "heap",
  "chunks",
  "roots",
  "staging",
  "idtable",
  "validate",
  "windows",
  "windowedits",
  "directory",
  "gfnindex",
  "hvaindex",
  "changed",
  "dirtybitmap",
  "dirtyring",
  "tlb",
  "hostmarks",
  "hostlog",
  "carry",
  "recycle",
  "readers",
  "hurry",
  "publish",
  "recover",
  "consumers",
  "dirtylog",
  "pieces",
  "lookup",
  "batch",
  "iterate",
  "hostrange",
  "privatememory",
  "create",
  "state",
  "transaction",
  "commit",
  "index",
];

function layerOf(path: string): number {
  return LAYERS.indexOf(path.replace(/^assembly\/(.*?)(\.ts)?$/, "$1"));
}

export const coreLayers: ProjectRule = ({ sources, files }) =>
  sources
    .filter(({ path }) => isCore(path) && !path.endsWith(".d.ts"))
    .flatMap((source) => {
      const own = layerOf(source.path);
      if (own < 0) return [{ path: source.path, line: 1, message: "has no place in LAYERS" }];
      return importsOf(source, files).flatMap(({ node, target }) => {
        const layer = layerOf(target);
        return layer >= 0 && layer < own ? [] : [findingAt(source, node, `${target} is not below it`)];
      });
    });

/**
 * A circle is reported once, at the import that closes it. In src/ imports of types count: the rooms are a matter of
 * reading, too.
 */
export const noCycles: ProjectRule = ({ sources, files }) => {
  const byPath = new Map(sources.filter(isScript).map((source) => [source.path, source]));
  const done = new Set<string>();
  const findings: Finding[] = [];
  const visit = (source: Source, above: readonly string[]): void => {
    if (done.has(source.path)) return;
    const trail = [...above, source.path];
    for (const { node, target, typeOnly } of importsOf(source, files)) {
      if (typeOnly && !source.path.startsWith("src/")) continue;
      const next = byPath.get(target);
      const start = trail.indexOf(target);
      if (start >= 0) findings.push(findingAt(source, node, [...trail.slice(start), target].join(" -> ")));
      else if (next !== undefined) visit(next, trail);
    }
    done.add(source.path);
  };
  for (const source of byPath.values()) visit(source, []);
  return findings;
};

/** Found by their names (test/run.ts, the compiler) or run by nobody's import (examples, projects of bundlers). */
const NEEDS_NO_IMPORT = /\.test\.ts$|\.d\.m?ts$|^examples\/|^test\/bundlers\/[\w-]+\/|^[^/]+$/;

export const noUnusedFiles: ProjectRule = ({ sources, files }) => {
  const used = new Set<string>();
  for (const source of sources) {
    for (const path of namedIn(source, files)) if (path !== source.path) used.add(path);
  }
  return sources
    .filter(
      ({ path }) => /\.(ts|mts|mjs|js|c|h)$/.test(path) && !NEEDS_NO_IMPORT.test(path) && !used.has(path),
    )
    .map(({ path }) => ({ path, line: 1, message: "nobody imports or names this file" }));
};

/**
 * Files that a source imports, includes, or names in a string: workers and native code are started by name.
 */
function namedIn(source: Source, files: ReadonlySet<string>): string[] {
  // Command lines name files, too.
  const isCommands = /\.json$|^\.ci\/|^tasks\.mjs$/.test(source.path);
  if (isCommands) {
    return (source.text.match(/[\w.-]+(\/[\w.-]+)+/g) ?? []).map((path) => posix.normalize(path));
  }
  if (isScript(source)) {
    const strings = nodesOf(source).flatMap((node) => (ts.isStringLiteralLike(node) ? [node.text] : []));
    const named = strings.flatMap((text) => byName(source.path, text, files));
    return [...importsOf(source, files).map(({ target }) => target), ...named];
  }
  if (/\.[ch]$/.test(source.path)) {
    const names = [...source.text.matchAll(/^#include "(.*)"/gm)].map((match) => match[1]!);
    return names.map((name) => posix.join(dirname(source.path), name));
  }
  return [];
}

/** `name` as a path from the root, from the file that names it, or, where folders are joined, by its end. */
function byName(from: string, name: string, files: ReadonlySet<string>): string[] {
  if (!/\.\w+$/.test(name)) return [];
  const near = posix.join(dirname(from), name);
  if (files.has(near)) return [near];
  const end = `/${name.replace(/^(\.*\/)+/, "")}`;
  return [...files].filter((path) => `/${path}`.endsWith(end));
}

/** A comment that names a function nobody has any more misleads. */
export const commentsNameWhatExists: ProjectRule = ({ sources }) => {
  const product = sources.filter((source) => isScript(source) && isProduct(source));
  const words = new Set(product.flatMap(codeWordsOf));
  return inComments(sources, (text) =>
    [...text.matchAll(/`([^`\n]+)`/g)].flatMap((match) =>
      wordsOf(match[1]!)
        .filter((word) => !words.has(word))
        .map((word) => ({ at: match.index, message: `${word} is nowhere in the code` })),
    ),
  );
};

/** Documents that a later part of the project writes; comments point there already. */
export const PLANNED: readonly string[] = [];

const FILE_NAME = /[\w./-]*\w\.(?:ts|mts|mjs|md)\b/g;
/** "`name` in file.ts" and "`name` (file.ts)". */
const NAME_IN_FILE = /`(\w+)`,? (?:in |of |\()`?([\w/]+\.(?:ts|mjs))\b/g;

/** The files that a comment or a document names, and what it says to be in them. */
export const textsNameFilesThatExist: ProjectRule = ({ sources, files }) => {
  const wordsByName = new Map<string, Set<string>>();
  for (const source of sources.filter(isScript)) {
    const words = wordsByName.get(posix.basename(source.path)) ?? new Set();
    for (const word of codeWordsOf(source)) words.add(word);
    wordsByName.set(posix.basename(source.path), words);
  }
  const known = [...files, ...PLANNED].map((path) => `/${path}`);
  const exists = (name: string) => known.some((path) => path.endsWith(`/${name.replace(/^(\.*\/)+/, "")}`));
  const find = (text: string): Mention[] => [
    ...[...text.matchAll(FILE_NAME)]
      .filter(([name]) => !exists(name))
      .map(({ 0: name, index }) => ({ at: index, message: `there is no ${name}` })),
    ...[...text.matchAll(NAME_IN_FILE)]
      .filter(([, word, name]) => !(wordsByName.get(posix.basename(name!))?.has(word!) ?? true))
      .map((match) => ({ at: match.index, message: `${match[1]} is not in ${match[2]}` })),
  ];
  const early = PLANNED.filter((path) => files.has(path));
  return [
    ...early.map((path) => ({ path, line: 1, message: "is written: take it off PLANNED" })),
    ...inComments(sources, find),
    ...sources
      .filter(({ path }) => path.endsWith(".md"))
      .flatMap(({ path, text }) => {
        const prose = proseOf(text).join("\n").replaceAll(REPOSITORY, "");
        return find(prose).map(({ at, message }) => ({ path, line: lineOf(prose, at), message }));
      }),
  ];
};

function isProduct({ path }: Source): boolean {
  return /^(assembly|src)\//.test(path);
}

interface Mention {
  /** Place in the text. */
  readonly at: number;
  readonly message: string;
}

/** Lines counted from 1. */
function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}

function inComments(sources: readonly Source[], find: (text: string) => Mention[]): Finding[] {
  return sources
    .filter((source) => isScript(source) && isProduct(source))
    .flatMap((source) =>
      commentsOf(source).flatMap(({ line, text }) =>
        find(text).map(({ at, message }) => ({
          path: source.path,
          line: line - 1 + lineOf(text, at),
          message,
        })),
      ),
    );
}

/** Fields of the map whose comment starts with "atomic;" are touched by assembly/atomic.ts alone. */
export const atomicFieldsByWord: ProjectRule = ({ sources }) => {
  const map = sources.find(({ path }) => path === "assembly/layout.ts");
  if (map === undefined) return [];
  const fields = new Set(
    nodesOf(map)
      .filter(ts.isPropertyDeclaration)
      .filter((field) =>
        ts.getJSDocCommentsAndTags(field).some((doc) => /^\/\*\*[\s*]*atomic;/.test(doc.getText())),
      )
      .map((field) => field.name.getText()),
  );
  return sources
    .filter(({ path }) => isCore(path) && path !== "assembly/atomic.ts")
    .flatMap((source) =>
      nodesOf(source)
        .filter((node) => {
          if (ts.isPropertyAccessExpression(node)) return fields.has(node.name.text);
          if (!ts.isCallExpression(node) || node.expression.getText() !== "offsetof") return false;
          const [name] = node.arguments;
          const isAssertion = source === map;
          return !isAssertion && name !== undefined && ts.isStringLiteral(name) && fields.has(name.text);
        })
        .map((node) => findingAt(source, node, `${node.getText()} is an atomic field`)),
    );
};

/** Headings as GitHub names them in links. */
export function anchorsOf(text: string): string[] {
  return proseOf(text)
    .filter((line) => /^#+ /.test(line))
    .map((line) =>
      line
        .replace(/^#+ /, "")
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    );
}

interface Link {
  readonly line: number;
  readonly target: string;
}

export function linksOf(text: string): Link[] {
  return proseOf(text).flatMap((line, i) =>
    [...line.replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)].map((match) => ({
      line: i + 1,
      target: match[1]!,
    })),
  );
}

/** Prefix of links to what the package does not have. */
const REPOSITORY = "https://github.com/memslots/memslots/blob/main/";
/** What the package has beside dist/; a link from one of these to anything else must be absolute. */
const IN_PACKAGE = /^(docs(\/.*)?|include(\/.*)?|README\.md|CHANGELOG\.md|LICENSE)$/;

/** A link's target as a path from the root, with its anchor; undefined if it leaves the repository. */
function inRepository(path: string, target: string): string | undefined {
  if (target.startsWith(REPOSITORY)) return target.slice(REPOSITORY.length);
  if (/^[a-z]+:/.test(target)) return undefined;
  return target.startsWith("#") ? path + target : posix.join(dirname(path), target);
}

export const linksLeadSomewhere: ProjectRule = ({ sources, files }) => {
  const folders = new Set([...files].flatMap(foldersOf));
  const texts = new Map(sources.map(({ path, text }) => [path, text]));
  return sources
    .filter(({ path }) => path.endsWith(".md"))
    .flatMap(({ path, text }) =>
      linksOf(text).flatMap(({ line, target }) => {
        const whole = inRepository(path, target);
        if (whole === undefined) return [];
        const [name = "", anchor] = whole.split("#");
        const to = name.replace(/\/$/, "");
        if (!files.has(to) && !folders.has(to)) return [{ path, line, message: `there is no ${to}` }];
        if (!target.startsWith(REPOSITORY) && IN_PACKAGE.test(path) && !IN_PACKAGE.test(to))
          return [{ path, line, message: `${to} is not in the package: link to ${REPOSITORY}${to}` }];
        if (anchor === undefined || anchorsOf(texts.get(to) ?? "").includes(anchor)) return [];
        return [{ path, line, message: `${to} has no heading #${anchor}` }];
      }),
    );
};

function foldersOf(path: string): string[] {
  const folder = dirname(path);
  return folder === "." ? [] : [folder, ...foldersOf(folder)];
}

/** Where a newcomer starts to read the code; docs/tour.md must lead there, in this order. */
export const READING_ORDER: readonly string[] = [
  "assembly/index.ts",
  "assembly/layout.ts",
  "assembly/lookup.ts",
  "assembly/transaction.ts",
  "assembly/publish.ts",
  "test/suites/set-memory-region.ts",
];

export const tourHasReadingOrder: ProjectRule = ({ sources }) => {
  const tour = sources.find(({ path }) => path === "docs/tour.md");
  if (tour === undefined) return [{ path: "docs/tour.md", line: 1, message: "is missing" }];
  const section = tour.text.split(/^## First five minutes$/m)[1]?.split(/^## /m)[0] ?? "";
  const targets = linksOf(section).map(({ target }) => inRepository(tour.path, target) ?? "");
  const found = targets.filter((target) => READING_ORDER.includes(target));
  if (found.join() === READING_ORDER.join()) return [];
  return [{ path: tour.path, line: 1, message: `First five minutes: ${found.join(", ") || "no links"}` }];
};

/** Once docs/abi.md is there, it has every function that the core exports. */
export const abiIsDocumented: ProjectRule = ({ sources }) => {
  const abi = sources.find(({ path }) => path === "docs/abi.md");
  const index = sources.find(({ path }) => path === "assembly/index.ts");
  if (abi === undefined || index === undefined) return [];
  const documented = new Set(wordsOf(abi.text));
  return nodesOf(index)
    .filter(ts.isExportSpecifier)
    .filter(({ name }) => !documented.has(name.text))
    .map((node) => findingAt(index, node, `${node.name.text} is not in ${abi.path}`));
};

export const PROJECT_RULES: Readonly<Record<string, ProjectRule>> = {
  coreLayers,
  rooms,
  noCycles,
  noUnusedFiles,
  commentsNameWhatExists,
  textsNameFilesThatExist,
  atomicFieldsByWord,
  linksLeadSomewhere,
  tourHasReadingOrder,
  abiIsDocumented,
};
