/** What can be typed behind `memslots`: the texts of --help as data, for completion and the manual page. */
import type { Argument, Command, Option } from "commander";

export interface ValueGrammar {
  readonly name: string;
  /** All that is allowed; none if that is anything. */
  readonly choices: readonly string[];
  readonly isFile: boolean;
}

export interface OptionGrammar {
  /** "--at <n>", "-h, --help". */
  readonly flags: string;
  readonly names: readonly string[];
  readonly value: ValueGrammar | undefined;
  readonly about: string;
}

export interface ArgumentGrammar extends ValueGrammar {
  readonly about: string;
  readonly isVariadic: boolean;
}

export interface CommandGrammar {
  readonly name: string;
  /** "memslots show [options] <file>". */
  readonly usage: string;
  readonly about: string;
  readonly options: readonly OptionGrammar[];
  readonly arguments: readonly ArgumentGrammar[];
  readonly command: Command;
}

export interface Grammar extends CommandGrammar {
  readonly commands: readonly CommandGrammar[];
}

export function grammarOf(program: Command): Grammar {
  const help = program.createHelp();
  const all = help.visibleCommands(program);
  const names = all.map((command) => command.name());
  const commands = all.map((command) => commandGrammar(command, names));
  // The command `help` does not know of what it is one.
  const full = commands.map(({ usage, ...rest }) =>
    rest.name === "help" ? { ...rest, usage: `${program.name()} ${usage}` } : { ...rest, usage },
  );
  return { ...commandGrammar(program, names), commands: full };
}

/** `commands`: what `help` takes. */
function commandGrammar(command: Command, commands: readonly string[]): CommandGrammar {
  const help = command.createHelp();
  return {
    name: command.name(),
    usage: help.commandUsage(command),
    about: help.commandDescription(command),
    options: help.visibleOptions(command).map(optionGrammar),
    arguments: command.registeredArguments.map((argument) => argumentGrammar(argument, commands)),
    command,
  };
}

function optionGrammar({ flags, short, long, description, argChoices = [] }: Option): OptionGrammar {
  const name = /<([^<>]+)>/.exec(flags)?.[1];
  return {
    flags,
    names: [short, long].filter((text) => text !== undefined),
    value: name === undefined ? undefined : { name, choices: argChoices, isFile: name === "out" },
    about: description,
  };
}

/** An argument without choices is a file, but that of `help`. */
function argumentGrammar(argument: Argument, commands: readonly string[]): ArgumentGrammar {
  const name = argument.name();
  const choices = name === "command" ? commands : (argument.argChoices ?? []);
  const { description: about, variadic: isVariadic } = argument;
  return { name, choices, isFile: choices.length === 0, about, isVariadic };
}
