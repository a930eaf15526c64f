/** Completion scripts. Each is of the grammar alone, so that a shell starts no program to complete a word. */
import type { CommandGrammar, Grammar, OptionGrammar, ValueGrammar } from "./grammar.js";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The script for a shell. */
export function completionScript(shell: Shell, grammar: Grammar): string {
  const lines = { bash, zsh, fish }[shell](grammar);
  return `${lines.join("\n")}\n`;
}

/** Text between single quotes of bash and zsh. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const namesOf = (list: readonly OptionGrammar[]): string => list.flatMap(({ names }) => names).join(" ");

/** For bash 3.2 and newer; without compopt, which came with 4.0, names of files with blanks are not quoted. */
function bash({ name, options, commands }: Grammar): string[] {
  const words = commands.map((command) => command.name);
  const take = (list: string) => `_${name}_take -W '${list}'`;
  const takeValue = ({ choices, isFile }: ValueGrammar) =>
    choices.length > 0 ? take(choices.join(" ")) : isFile ? `_${name}_files` : ":";
  return [
    `# bash completion for ${name}`,
    `_${name}_take() {`,
    "  local word",
    '  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen "$@" -- "$cur")',
    "}",
    `_${name}_files() {`,
    "  compopt -o filenames 2>/dev/null",
    `  _${name}_take -f`,
    "}",
    `_${name}() {`,
    `  local i command= cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}`,
    "  # --option=value is three words here.",
    "  if [[ $cur == = ]]; then cur=",
    `  elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi`,
    "  COMPREPLY=()",
    "  for ((i = 1; i < COMP_CWORD; i++)); do",
    `    case \${COMP_WORDS[i]} in ${words.join("|")}) command=\${COMP_WORDS[i]}; break ;; esac`,
    "  done",
    "  case $command:$prev in",
    ...commands.flatMap((command) =>
      command.options.flatMap(({ names, value }) =>
        value === undefined
          ? []
          : names.map((one) => `    ${command.name}:${one}) ${takeValue(value)}; return ;;`),
      ),
    ),
    "  esac",
    "  case $command:$cur in",
    `    :-*) ${take(namesOf(options))} ;;`,
    `    :*) ${take(words.join(" "))} ;;`,
    ...commands.flatMap((command) => [
      `    ${command.name}:-*) ${take(namesOf(command.options))} ;;`,
      ...command.arguments.slice(0, 1).map((value) => `    ${command.name}:*) ${takeValue(value)} ;;`),
    ]),
    "  esac",
    "}",
    `complete -F _${name} ${name}`,
  ];
}

function zsh({ name, options, commands }: Grammar): string[] {
  return [
    `#compdef ${name}`,
    `_${name}() {`,
    "  local curcontext=$curcontext state line",
    "  typeset -A opt_args",
    "  local -a subcommands=(",
    ...commands.map(({ name: word, about }) => `    ${quoted(`${word}:${about}`)}`),
    "  )",
    "  _arguments -C \\",
    ...options.map((option) => `    ${zshOption(option)} \\`),
    "    '1:command:->command' '*::argument:->argument'",
    "  case $state in",
    "    command) _describe command subcommands ;;",
    "    argument)",
    "      case $line[1] in",
    ...commands.map((command) => `        ${command.name}) _arguments ${zshSpecs(command).join(" ")} ;;`),
    "      esac ;;",
    "  esac",
    "}",
    "# In a file of fpath it completes at once; a script that is evaluated registers it.",
    `if [[ $funcstack[1] == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi`,
  ];
}

/** Text inside of a specification of _arguments. */
const zshText = (text: string): string => text.replace(/[\\:[\]]/g, "\\$&");

function zshSpecs({ options, arguments: list }: CommandGrammar): string[] {
  return [
    ...options.map(zshOption),
    ...list.map((value, i) => {
      const place = value.isVariadic ? "*" : String(i + 1);
      return quoted(`${place}:${zshText(value.name)}:${zshAction(value)}`);
    }),
  ];
}

function zshOption({ names, value, about }: OptionGrammar): string {
  const what = `[${zshText(about)}]`;
  const takes = value === undefined ? "" : `:${zshText(value.name)}:${zshAction(value)}`;
  // `--at 3` and `--at=3`; an option with a short name excludes all else: it is --help or --version.
  if (names.length > 1) return `'(- *)'{${names.join(",")}}${quoted(what)}`;
  return quoted(`${names[0]}${value === undefined ? "" : "="}${what}${takes}`);
}

function zshAction({ choices, isFile }: ValueGrammar): string {
  if (choices.length > 0) return `(${choices.join(" ")})`;
  return isFile ? "_files" : " ";
}

/** Text between single quotes of fish. */
const fishQuoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;

function fish({ name, options, commands }: Grammar): string[] {
  const none = `not __fish_seen_subcommand_from ${commands.map((command) => command.name).join(" ")}`;
  return [
    `# fish completion for ${name}`,
    `complete -c ${name} -f`,
    ...options.map((option) => `complete -c ${name} -n ${fishQuoted(none)} ${fishOption(option)}`),
    ...commands.map(
      ({ name: word, about }) =>
        `complete -c ${name} -n ${fishQuoted(none)} -a ${word} -d ${fishQuoted(about)}`,
    ),
    ...commands.flatMap((command) => {
      const here = `complete -c ${name} -n ${fishQuoted(`__fish_seen_subcommand_from ${command.name}`)}`;
      return [
        ...command.options.map((option) => `${here} ${fishOption(option)}`),
        ...command.arguments.slice(0, 1).map((value) => `${here} ${fishValue(value)}`),
      ];
    }),
  ];
}

function fishOption({ names, value, about }: OptionGrammar): string {
  const flags = names.map((one) => (one.startsWith("--") ? `-l ${one.slice(2)}` : `-s ${one.slice(1)}`));
  const takes = value === undefined ? [] : ["-r", fishValue(value)];
  return [...flags, ...takes, `-d ${fishQuoted(about)}`].join(" ");
}

function fishValue({ choices, isFile }: ValueGrammar): string {
  if (choices.length > 0) return `-f -a ${fishQuoted(choices.join(" "))}`;
  return isFile ? "-F" : "-f";
}
