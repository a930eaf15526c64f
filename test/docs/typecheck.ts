/** TypeScript of a document, checked as a user's compiler does it: against the declarations of the built package. */
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

/** What the compiler has to say about some texts, each a module of its own. */
export function typeErrors(texts: readonly string[]): string[] {
  // In the root, from where `import "memslots"` leads to the package itself.
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
  const program = ts.createProgram([...sources.keys()], OPTIONS, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const line = file?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0;
    const name = file?.fileName.split("/").at(-1);
    return `${name}, line ${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
  });
}
