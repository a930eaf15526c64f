/** Who imports whom: the imports of a source, as paths from the root. */
import { dirname, posix } from "node:path";
import ts from "typescript";
import type { Source } from "./source.js";
import { nodesOf } from "./syntax.js";

export interface Import {
  readonly node: ts.Node;
  /** Erased by the compiler. */
  readonly typeOnly: boolean;
  /** Path of the imported file; of a package, its name. */
  readonly target: string;
}

/** Imports, re-exports and dynamic imports, those of types included. */
export function importsOf(source: Source, files: ReadonlySet<string>): Import[] {
  return nodesOf(source).flatMap((node) => {
    const specifier =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined;
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return [];
    const typeOnly = ts.isImportDeclaration(node)
      ? (node.importClause?.isTypeOnly ?? false)
      : ts.isExportDeclaration(node) && node.isTypeOnly;
    return [{ node, typeOnly, target: resolve(source.path, specifier.text, files) }];
  });
}

/** AssemblyScript leaves the ending out, TypeScript names that of the compiled file. */
function resolve(from: string, specifier: string, files: ReadonlySet<string>): string {
  if (specifier === "memslots") return "src/index.ts";
  if (!specifier.startsWith(".")) return specifier;
  const path = posix.join(dirname(from), specifier);
  const candidates = [path, `${path}.ts`, path.replace(/\.js$/, ".ts"), path.replace(/\.mjs$/, ".mts")];
  return candidates.find((candidate) => files.has(candidate)) ?? path;
}
