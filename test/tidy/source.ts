/**
 * The input of the rules of tidy: every file of the repository that a person writes, and the names of all
 * others.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export interface Source {
  /** Relative to the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Project {
  readonly sources: readonly Source[];
  /** Paths of all files, those included that are no text. */
  readonly files: ReadonlySet<string>;
}

export interface Finding {
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

export function projectOf(sources: readonly Source[], others: readonly string[] = []): Project {
  return { sources, files: new Set([...sources.map(({ path }) => path), ...others]) };
}

export function readProject(root: string): Project {
  const paths = (gitFiles(root) ?? walk(root, ignoredBy(root))).filter((path) => isFile(join(root, path)));
  const sources = paths.flatMap((path) => {
    const text = decode(readFileSync(join(root, path)));
    return text === undefined ? [] : [{ path, text }];
  });
  return projectOf(sources, paths);
}

/** Tracked files and new ones that are not ignored. Undefined without git, as in an unpacked archive. */
export function gitFiles(root: string): string[] | undefined {
  try {
    const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    const output = execFileSync("git", args, {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return [...new Set(output.split("\0").filter((path) => path !== ""))].sort();
  } catch {
    return undefined;
  }
}

/** What .gitignore names, as far as this repository uses its language: `name/` and `*.ending`. */
export function ignoredBy(root: string): (name: string) => boolean {
  const patterns = readFileSync(join(root, ".gitignore"), "utf8").split("\n").filter(Boolean);
  const names = new Set(patterns.map((pattern) => pattern.replace(/\/$/, "")));
  const endings = patterns.flatMap((pattern) => (pattern.startsWith("*") ? [pattern.slice(1)] : []));
  return (name) => name === ".git" || names.has(name) || endings.some((ending) => name.endsWith(ending));
}

export function walk(root: string, ignored: (name: string) => boolean, folder = ""): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => !ignored(name))
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      return entry.isDirectory() ? walk(root, ignored, path) : [path];
    })
    .sort();
}

/** A file may be in git's index and already deleted. */
function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
