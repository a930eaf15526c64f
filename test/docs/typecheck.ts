/** Type check of texts against the declarations of the built package, as a user's compiler does it. */
import ts from "typescript";
import { ROOT } from "./blocks.js";

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  types: ["node"],
  strict: true,
  noEmit: true,
  skipLibCheck: true,
};

/** Errors of the compiler in some texts, each of which is a module. @param strict false: `undefined` goes unnoticed */
export function typeErrors(texts: readonly string[], strict = true): string[] {
  // In the root, where `import "memslots"` finds the package itself.
  const sources = new Map(texts.map((text, i) => [`${ROOT}document-${i}.mts`, text]));
  const host = ts.createCompilerHost(OPTIONS);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => sources.has(name) || fileExists(name);
  host.readFile = (name) => sources.get(name) ?? readFile(name);
  host.getSourceFile = (name, version, ...rest) => {
    const text = sources.get(name);
    return text === undefined
      ? getSourceFile(name, version, ...rest)
      : ts.createSourceFile(name, text, version);
  };
  const program = ts.createProgram([...sources.keys()], { ...OPTIONS, strict }, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const line = file?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0;
    const name = file?.fileName.split("/").at(-1);
    return `${name}, line ${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
  });
}
