/** `memslots completion`: a script with which a shell completes commands, options, their values and files. */
import { Argument, Command } from "commander";
import { addNotes } from "./arguments.js";
import { grammarOf } from "./grammar.js";
import { completionScript, SHELLS, type Shell } from "./shells.js";
import { writeOut } from "./writeout.js";

export function completionCommand(): Command {
  const command = new Command("completion")
    .description("Print a script with which a shell completes the words of memslots.")
    .addArgument(new Argument("<shell>", "of which the script is").choices(SHELLS))
    .action((shell: Shell) => writeOut("-", completionScript(shell, grammarOf(command.parent!))));
  return addNotes(command, HELP);
}

const HELP = `
Exit code: 0 done, 2 the command line is wrong.

Examples:
  $ memslots completion bash > ~/.local/share/bash-completion/completions/memslots
  $ memslots completion zsh > ~/.zfunc/_memslots   # a folder of fpath
  $ memslots completion fish > ~/.config/fish/completions/memslots.fish
  $ eval "$(memslots completion bash)"             # in this shell only`;
