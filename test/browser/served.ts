/**
 * The project's modules as a browser can import them: TypeScript without its types, and names of packages as paths.
 * An import map would do the second for a page, but not for its workers.
 */
import { existsSync, readFileSync } from "node:fs";
import { extname, join, normalize, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Folders that a page may see. */
const FOLDERS = ["dist", "examples", "src", "test", "bench", "node_modules"];

const SCRIPT = "text/javascript; charset=utf-8";
const TYPES: Readonly<Record<string, string>> = {
  ".js": SCRIPT,
  ".mjs": SCRIPT,
  ".ts": SCRIPT,
  ".map": "application/json",
  ".wasm": "application/wasm",
};

/** A file as a browser gets it. */
export interface Served {
  readonly type: string;
  readonly body: string | Buffer;
}

/** Path from the root, of a file that a page may see. */
function pathOf(url: string): string | undefined {
  // Nothing that a page imports has another name, and none of these leads out of the folders.
  if (!/^(?:\/[\w@][\w@.+-]*)+$/.test(url)) return undefined;
  const path = normalize(url).replace(/^[/\\]+/, "");
  if (!FOLDERS.includes(path.split(sep)[0]!)) return undefined;
  // TypeScript imports a file under the name that it will have when it is compiled.
  const candidates = [path, path.replace(/\.js$/, ".ts")];
  return candidates.find((candidate) => existsSync(join(ROOT, candidate)));
}

function urlOfPackage(name: string): string {
  const path = relative(ROOT, fileURLToPath(import.meta.resolve(name)));
  return `/${path.split(sep).join("/")}`;
}

/** `text` with the imported packages as paths; relative imports stay as they are. */
function withPaths(text: string): string {
  const imported = ts.preProcessFile(text, true, false).importedFiles;
  const packages = imported.filter(({ fileName }) => !/^[./]/.test(fileName));
  let result = text;
  for (const { fileName, pos, end } of packages.reverse()) {
    // `end` is that of the name, which stands between quotes.
    result = result.slice(0, pos) + JSON.stringify(urlOfPackage(fileName)) + result.slice(end + 2);
  }
  return result;
}

function script(path: string): string {
  const text = readFileSync(join(ROOT, path), "utf8");
  if (!path.endsWith(".ts")) return withPaths(text);
  const { outputText } = ts.transpileModule(text, {
    fileName: path,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  });
  return withPaths(outputText);
}

const served = new Map<string, Served>();

/** The file behind the path of a URL, if there is one. */
export function serve(url: string): Served | undefined {
  const path = pathOf(url);
  if (path === undefined) return undefined;
  let file = served.get(path);
  if (file === undefined) {
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    file = { type, body: type === SCRIPT ? script(path) : readFileSync(join(ROOT, path)) };
    served.set(path, file);
  }
  return file;
}
