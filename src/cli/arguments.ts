/** Arguments of commands: what several of them take. */
import { type Command, InvalidArgumentError } from "commander";

const NOTES = new WeakMap<Command, string>();

/** Give a command the text that its help has behind the options. */
export function addNotes(command: Command, text: string): Command {
  NOTES.set(command, text);
  return command.addHelpText("after", text);
}

/** That text; empty if there is none. */
export function notesOf(command: Command): string {
  return NOTES.get(command) ?? "";
}

/** Id of a commit, as the trace numbers them, or a place among dumps. */
export function parseCommit(text: string): number {
  const id = /^\d+$/.test(text) ? Number(text) : -1;
  if (!Number.isSafeInteger(id) || id < 0)
    throw new InvalidArgumentError("It must be the id of a commit, or a place from 1 on.");
  return id;
}

/** What a FILE may be, for the help of a command. */
export const FILES = `
FILE is one of these, gzipped or not; - is standard input:
  a trace of memslots (.jsonl), the JSON of engine.slots(), what "memslots show
  --json" prints
  QEMU's "info mtree", as a tree or with -f, -o, -d; "info ramblock" beside it
  tells the host addresses; as the monitor or QMP has it, or pasted
  a log of QEMU's "-trace kvm_set_user_memory" of any backend, or of strace
  /proc/iomem, the e820 or EFI map of a dmesg, /sys/firmware/memmap (grep . -r)
  a flattened devicetree (.dtb)
Of a trace or log the map after its last commit or update is taken. --at names
another commit, or one of several dumps, machines or boots.`;
