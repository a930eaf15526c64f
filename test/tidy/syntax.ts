/**
 * TypeScript and AssemblyScript files as syntax: nodes, comments, and the words of the code between the
 * comments.
 */
import ts from "typescript";
import type { Finding, Source } from "./source.js";

export function isScript({ path }: Source): boolean {
  return /\.(ts|mts|mjs|js)$/.test(path);
}

const parsed = new WeakMap<Source, ts.SourceFile>();

export function parse(source: Source): ts.SourceFile {
  let file = parsed.get(source);
  if (file === undefined) {
    file = ts.createSourceFile(source.path, source.text, ts.ScriptTarget.ES2022, true);
    parsed.set(source, file);
  }
  return file;
}

export function nodesOf(source: Source): ts.Node[] {
  const nodes: ts.Node[] = [];
  const visit = (node: ts.Node): void => {
    nodes.push(node);
    ts.forEachChild(node, visit);
  };
  visit(parse(source));
  return nodes;
}

export function findingAt(source: Source, node: ts.Node, message: string): Finding {
  const { line } = parse(source).getLineAndCharacterOfPosition(node.getStart());
  return { path: source.path, line: line + 1, message };
}

export interface Comment {
  readonly line: number;
  readonly text: string;
}

export function commentsOf(source: Source): Comment[] {
  return tokensOf(source).flatMap(({ kind, line, text }) =>
    kind === ts.SyntaxKind.SingleLineCommentTrivia || kind === ts.SyntaxKind.MultiLineCommentTrivia
      ? [{ line, text }]
      : [],
  );
}

/** Identifiers, keywords, and the words inside of strings. */
export function codeWordsOf(source: Source): string[] {
  return tokensOf(source)
    .filter(({ kind }) => kind > ts.SyntaxKind.LastTriviaToken)
    .flatMap(({ text }) => wordsOf(text));
}

export function wordsOf(text: string): string[] {
  return text.match(/[A-Za-z_$][\w$]*/g) ?? [];
}

interface Token {
  readonly kind: ts.SyntaxKind;
  readonly line: number;
  readonly text: string;
}

/**
 * Every token with the comments before it. From the tree and not from a scanner alone, which cannot tell a
 * regular expression from a division.
 */
function tokensOf(source: Source): Token[] {
  const file = parse(source);
  const tokens: Token[] = [];
  const starts = new Set<number>();
  const push = (kind: ts.SyntaxKind, start: number, end: number): void => {
    if (starts.has(start)) return;
    starts.add(start);
    const line = file.getLineAndCharacterOfPosition(start).line + 1;
    tokens.push({ kind, line, text: source.text.slice(start, end) });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isJSDoc(node)) return;
    const children = node.getChildren(file);
    if (children.length > 0) {
      children.forEach(visit);
      return;
    }
    for (const { kind, pos, end } of ts.getLeadingCommentRanges(source.text, node.pos) ?? [])
      push(kind, pos, end);
    const start = node.getStart(file);
    if (node.end > start) push(node.kind, start, node.end);
    // A comment that ends a line belongs to the token before it.
    for (const { kind, pos, end } of ts.getTrailingCommentRanges(source.text, node.end) ?? [])
      push(kind, pos, end);
  };
  visit(file);
  return tokens;
}
