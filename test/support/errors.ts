/** Predicate of a class's errors. uvu's `throws` calls a class that it is given, and takes its result for a yes. */
export function isA(type: abstract new (...args: never[]) => unknown): (error: unknown) => boolean {
  return (error) => error instanceof type;
}
