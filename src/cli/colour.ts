/**
 * Colours of text for people: on a terminal that has them, or where FORCE_COLOR asks, but never where NO_COLOR is set.
 * Nothing is told by colour alone. The text is searched after its control characters are escaped, so that no file
 * brings colours with it.
 */

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** The parts of a text that get a style. Parts of two rules do not overlap. */
export type Colours = readonly (readonly [part: RegExp, style: Style])[];

/** Codes of ECMA-48 that begin and end a style. */
const CODES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** https://no-color.org: a variable that is empty says nothing. FORCE_COLOR=0 is no colour, as Node has it. */
export function hasColours(
  { isTTY }: { readonly isTTY?: boolean },
  { NO_COLOR = "", FORCE_COLOR = "", TERM = "" }: Readonly<Record<string, string | undefined>>,
): boolean {
  if (NO_COLOR !== "" || FORCE_COLOR === "0") return false;
  return FORCE_COLOR !== "" || (isTTY === true && TERM !== "dumb");
}

export function coloured(text: string, colours: Colours): string {
  return colours.reduce((all, [part, style]) => {
    const [begin, end] = CODES[style];
    return all.replace(part, (found) => `\x1b[${begin}m${found}\x1b[${end}m`);
  }, text);
}

/** Headings and examples of a help text, and the word in front of what is wrong. */
export const HELP_COLOURS: Colours = [
  [/^error:/gm, "red"],
  [/^(?:Usage|Arguments|Options|Commands|Formats|Exit code|Environment|Examples)\b/gm, "bold"],
  [/^ {2}\$ .*$/gm, "cyan"],
];
