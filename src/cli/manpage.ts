/** The manual page, in the man macros of roff, of the same texts as --help. */
import type { Command } from "commander";
import { notesOf } from "./arguments.js";
import { type CommandGrammar, grammarOf, type OptionGrammar } from "./grammar.js";

/** memslots(1). `date` is of the form YYYY-MM-DD. */
export function manPage(program: Command, version: string, date: string): string {
  const { name, about, options, commands } = grammarOf(program);
  const lines = [
    `.TH ${name.toUpperCase()} 1 ${date} "${name} ${version}" "User Commands"`,
    ".SH NAME",
    ...filled(`${name} - ${about.replace(/\.$/, "")}`),
    ".SH SYNOPSIS",
    ...commands.flatMap((command, i) => [...(i === 0 ? [] : [".br"]), bold(command.usage)]),
    ".SH DESCRIPTION",
    ...filled(`${about} Each command has separate options, which its --help lists, too.`),
    ...notesLines(notesOf(program)),
    ".SH OPTIONS",
    ...options.flatMap(optionLines),
    ".SH COMMANDS",
    ...commands.flatMap(commandLines),
  ];
  return `${lines.join("\n")}\n`;
}

function commandLines({ usage, about, options, arguments: list, command }: CommandGrammar): string[] {
  return [
    `.SS ${roff(usage)}`,
    ...filled(about),
    ...list.filter((one) => one.about !== "").flatMap((one) => tagged(one.name, one.about)),
    ...options.flatMap(optionLines),
    ...notesLines(notesOf(command)),
  ];
}

function optionLines({ flags, value, about }: OptionGrammar): string[] {
  const choices = value === undefined || value.choices.length === 0 ? "" : `: ${value.choices.join(", ")}`;
  return tagged(flags, about + choices);
}

function tagged(tag: string, text: string): string[] {
  return [".TP", bold(tag), ...filled(text)];
}

/** Paragraphs; lines that are indented are shown as they are. */
function notesLines(notes: string): string[] {
  return runsOf(notes).flatMap(({ isShown, lines }) =>
    isShown
      ? [".RS 2", ".nf", ...lines.map((line) => roff(line.slice(2))), ".fi", ".RE"]
      : [".PP", ...filled(lines.join(" "))],
  );
}

interface Run {
  readonly isShown: boolean;
  readonly lines: string[];
}

/** Lines that belong together. */
function runsOf(notes: string): Run[] {
  const runs: Run[] = [];
  for (const paragraph of notes.split("\n\n")) {
    let run: Run | undefined;
    for (const line of paragraph.split("\n").filter((text) => text !== "")) {
      const isShown = line.startsWith("  ");
      if (run?.isShown !== isShown) runs.push((run = { isShown, lines: [] }));
      run.lines.push(line);
    }
  }
  return runs;
}

/** Bytes of a line, as mandoc -Tlint wants it. */
const WIDTH = 80;

/** Text on lines of their own; where they break has no meaning. */
function filled(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && roff(longer).length <= WIDTH) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map(roff);
}

const bold = (text: string): string => `.B ${roff(text).replaceAll('"', '""')}`;

/** Text that roff prints as it is: no escapes, no typographic signs, no request. */
function roff(text: string): string {
  const plain = text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq");
  return plain
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha")
    .replaceAll("`", "\\(ga")
    .replace(/^\./, "\\&.");
}
