/**
 * Which branches of src/ ran, each counted once. A module runs as the loader of TypeScript has made it, and as a part
 * of dist/. Their source maps lead a branch to places that differ by a space, a parenthesis or its end, so a report
 * that compares places exactly has most branches twice, and half of them are never reached.
 */
interface Place {
  readonly line: number;
  readonly column: number;
}

/** A file in Istanbul's format. */
export interface FileBranches {
  readonly branchMap: Readonly<Record<string, { type: string; locations: readonly { start: Place }[] }>>;
  /** How often each way of a branch was taken. */
  readonly b: Readonly<Record<string, readonly number[]>>;
}

export interface Branch {
  readonly line: number;
  readonly type: string;
  /** How often each way was taken, wherever the module ran. */
  readonly counts: number[];
}

/** Both maps agree where the code of a way begins, up to what may stand in front of it; no two branches share that. */
export function branchesOf({ branchMap, b }: FileBranches, source: string): Branch[] {
  const lines = source.split("\n");
  const starts = [0];
  for (const text of lines) starts.push(starts.at(-1)! + text.length + 1);
  const codeAt = ({ line, column }: Place) => {
    const offset = starts[line - 1]! + column;
    return offset + /^[\s(]*/.exec(source.slice(offset))![0].length;
  };

  const branches = new Map<string, Branch>();
  for (const [id, { type, locations }] of Object.entries(branchMap)) {
    // What `&&` begins with, an `&&` in it begins with, too; an `if` may have no second way.
    const way = locations.at(type === "LogicalExpression" ? -1 : 0)!;
    const key = `${type} ${codeAt(way.start)}`;
    const known = branches.get(key);
    if (known === undefined) {
      branches.set(key, { line: way.start.line, type, counts: [...b[id]!] });
      continue;
    }
    if (known.counts.length !== b[id]!.length)
      throw new Error(`line ${known.line}: two branches are taken for one`);
    for (const [i, count] of b[id]!.entries()) known.counts[i]! += count;
  }
  return [...branches.values()].sort((x, y) => x.line - y.line);
}
