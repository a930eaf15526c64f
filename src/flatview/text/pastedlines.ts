/**
 * The lines of a text as people paste it: from a terminal, a mail, an issue, or as the reply of a QMP command. What
 * the way of the text has added is taken away; what the text itself says stays.
 *
 *   terminal   control sequences, backspaces and what they erased, carriage returns
 *   mail       quotes (`> `), no-break spaces, blanks at the end of lines
 *   QMP        {"return": "..."} of human-monitor-command, alone or among other lines of the protocol
 */
import { parseJsonText } from "../../trace/jsontext.js";
import { linesOf, ParseError } from "./parseerror.js";

/** A line and its number in the text, counted from 1. */
export interface PastedLine {
  readonly number: number;
  /** Without blanks at its end. */
  readonly text: string;
  /** How many of these there were. */
  readonly blanks: number;
}

/** No line of a dump comes near. */
export const LINE_MAX = 65_536;

/** The cleaned lines of `text`. @throws TypeError if it is no string; ParseError for a line that is too long */
export function pastedLines(text: string): PastedLine[] {
  return (qmpReply(text) ?? linesOf(text)).map((line, i) => {
    if (line.length > LINE_MAX) {
      throw new ParseError(i + 1, `the line has ${line.length} characters, more than ${LINE_MAX}`);
    }
    const whole = cleaned(line);
    const text = whole.trimEnd();
    return { number: i + 1, text, blanks: whole.length - text.length };
  });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control sequences are what is looked for
const SEQUENCES = /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|\x9b[0-9;?]*[@-~]/g;
const QUOTE = /^(?:[ \t]*[>|])+/;

function cleaned(line: string): string {
  const plain = line.includes("\x1b") || line.includes("\x9b") ? line.replace(SEQUENCES, "") : line;
  const shown = plain.includes("\b") ? backspaced(plain) : plain;
  let end = shown.length;
  while (shown[end - 1] === "\r") end--;
  const kept = shown.slice(shown.startsWith("\ufeff") ? 1 : 0, end);
  const overwritten = kept.slice(kept.lastIndexOf("\r") + 1);
  return spaced(overwritten.replace(/[\u00a0\u2007\u202f]/g, " ").replace(QUOTE, ""));
}

const TAB = 8;

/** Tabs of the indent up to their column, others as one blank. */
function spaced(line: string): string {
  if (!line.includes("\t")) return line;
  let indent = 0;
  let at = 0;
  for (; line[at] === " " || line[at] === "\t"; at++) indent += line[at] === "\t" ? TAB - (indent % TAB) : 1;
  return " ".repeat(indent) + line.slice(at).replaceAll("\t", " ");
}

function backspaced(line: string): string {
  const kept: string[] = [];
  for (const char of line) {
    if (char === "\b") kept.pop();
    else kept.push(char);
  }
  return kept.join("");
}

/** The lines of the strings that QMP returned, or undefined if the text is no QMP. */
function qmpReply(text: string): string[] | undefined {
  if (typeof text !== "string" || !text.includes('"return"')) return undefined;
  const whole = returned(text);
  if (whole !== undefined) return linesOf(whole);
  const replies = linesOf(text).flatMap((line) => {
    const reply = returned(line.replace(/^\s*(?:<-|->|[<>])?\s*/, ""));
    return reply === undefined ? [] : [...linesOf(reply), ""];
  });
  return replies.length === 0 ? undefined : replies;
}

function returned(json: string): string | undefined {
  if (!/^\s*\{/.test(json)) return undefined;
  try {
    const value: unknown = parseJsonText(json);
    const reply = (value as { return?: unknown } | null)?.return;
    return typeof reply === "string" ? reply : undefined;
  } catch {
    return undefined;
  }
}
