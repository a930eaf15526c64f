/** Objects that are known for as long as somebody else has them. */

/** Fewer are not worth a sweep. */
const SWEEP_MIN = 16;

export class WeakList<T extends object> {
  #references: WeakRef<T>[] = [];
  /** So long is the list when those that are gone are dropped: twice what was left the last time. */
  #limit = SWEEP_MIN;

  add(object: T): void {
    if (this.#references.length >= this.#limit) {
      this.#references = this.#references.filter((reference) => reference.deref() !== undefined);
      this.#limit = Math.max(SWEEP_MIN, 2 * this.#references.length);
    }
    this.#references.push(new WeakRef(object));
  }

  delete(object: T): void {
    this.#references = this.#references.filter((reference) => reference.deref() !== object);
  }

  /** Call `visit` for each that there is. */
  forEach(visit: (object: T) => void): void {
    for (const reference of this.#references) {
      const object = reference.deref();
      if (object !== undefined) visit(object);
    }
  }
}
