/**
 * What transactions have changed in trees of regions, so that it can be undone. Each change of a region, or of the
 * registers of a recipe, is noted in every transaction that is open, with the way back.
 *
 * A transaction that nobody ends and nobody has any more is forgotten: it is known by a weak reference.
 */

/** Transactions that are open. */
const open = /* @__PURE__ */ new Set<WeakRef<Edits>>();

/** The changes of one transaction at a time, from `begin` to `end`. */
export class Edits {
  /** One for all transactions: each new one would live until the end of the job. */
  readonly #self = new WeakRef(this);
  #undo: (() => void)[] = [];

  begin(): void {
    this.#undo = [];
    open.add(this.#self);
  }

  /** Note no more. */
  end(): void {
    open.delete(this.#self);
  }

  /** Go back to the beginning, the last change first. */
  undo(): void {
    this.end();
    for (let back = this.#undo.pop(); back !== undefined; back = this.#undo.pop()) back();
  }

  note(back: () => void): void {
    this.#undo.push(back);
  }
}

/** Something is about to change; `back` makes it as it is now. */
export function noteEdit(back: () => void): void {
  for (const reference of open) {
    const edits = reference.deref();
    if (edits === undefined) open.delete(reference);
    else edits.note(back);
  }
}
