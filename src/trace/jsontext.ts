/** JSON of a file: what is more than any map has is refused before memory is spent on it. */

/** Objects and lists of a text. KVM has 32,764 slots. */
const VALUES_MAX = 2 ** 20;

/** As JSON.parse. @throws SyntaxError, also for a text of too many objects and lists */
export function parseJsonText(text: string): unknown {
  let values = 0;
  for (const start of ["{", "["]) {
    for (let at = text.indexOf(start); at >= 0; at = text.indexOf(start, at + 1)) values++;
  }
  if (values > VALUES_MAX) {
    throw new SyntaxError(`it has ${values} objects and lists, at most ${VALUES_MAX} are read`);
  }
  return JSON.parse(text);
}
