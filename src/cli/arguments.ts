/** Arguments of commands: what several of them take. */
import { InvalidArgumentError } from "commander";

/** Id of a commit, as the trace numbers them. */
export function parseCommit(text: string): number {
  const id = /^\d+$/.test(text) ? Number(text) : -1;
  if (!Number.isSafeInteger(id) || id < 0) throw new InvalidArgumentError("It must be the id of a commit.");
  return id;
}

/** What a FILE may be, for the help of a command. */
export const FILES = `
FILE is a trace (.jsonl, .jsonl.gz), the JSON of engine.slots(), what "memslots
show --json" prints, the text of QEMU's "info mtree -f", or a log of QEMU's
"-trace kvm_set_user_memory"; - is standard input; all of them gzipped or not.
Of a trace the map after its last commit is taken, or after another one by its id;
of a log the map after its last update.`;
