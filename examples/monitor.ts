/**
 * A monitor for a running machine, after QEMU's: one command a line, text back. It displays state, and holds the vCPUs
 * on command. Any example can serve one.
 */
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import {
  DirtyConsumer,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  type MemslotEngine,
  readersOf,
} from "memslots";

/** A command: its help, and a function from the words after its name to its output. */
export interface Command {
  readonly help: string;
  run(words: readonly string[]): string;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function flagsOf(flags: number): string {
  const names = [flags & KVM_MEM_READONLY ? "ro" : "rw", ...(flags & KVM_MEM_LOG_DIRTY_PAGES ? ["log"] : [])];
  return names.join(",");
}

/** Address spaces of an engine, or the one that a command names. @throws RangeError for an unknown one */
function spacesOf(engine: MemslotEngine, [asId]: readonly string[]): number[] {
  if (asId === undefined) return Array.from({ length: engine.addressSpaces }, (_, i) => i);
  engine.generation(Number(asId));
  return [Number(asId)];
}

function slots(engine: MemslotEngine, words: readonly string[]): string {
  const rows = spacesOf(engine, words).flatMap((asId) =>
    engine
      .slots(asId)
      .map(({ slot, flags, guestPhysAddr, memorySize, userspaceAddr }) => [
        String(asId),
        String(slot & 0xffff),
        hex(guestPhysAddr),
        hex(guestPhysAddr + memorySize),
        hex(userspaceAddr),
        flagsOf(flags),
      ]),
  );
  return table(["as", "slot", "gpa", "end", "hva", "flags"], rows);
}

function generation(engine: MemslotEngine, words: readonly string[]): string {
  const rows = spacesOf(engine, words).map((asId) => [String(asId), String(engine.generation(asId))]);
  return `${table(["as", "generation"], rows)}\n${engine.publications} publications`;
}

function readers(engine: MemslotEngine): string {
  const rows = readersOf(engine).map((reader) => [
    hex(reader.reader),
    reader.kind,
    String(reader.owner),
    String(reader.asId),
    reader.behind ? "inside, old layout" : reader.inside ? "inside" : "outside",
    reader.kicked ? "kicked" : "",
    String(reader.sections),
    String(reader.misses),
  ]);
  return table(["reader", "kind", "owner", "as", "state", "request", "sections", "misses"], rows);
}

/** Pages written since the monitor's last look. A separate consumer, so the machine's log keeps its bits. */
function dirty(engine: MemslotEngine, consumer: DirtyConsumer): string {
  const pageBytes = 2 ** engine.pageShift;
  const dirty = new Map<number, number>();
  for (const { guest } of consumer.begin()) {
    for (const { slot, bytes } of guest) dirty.set(slot, (dirty.get(slot) ?? 0) + bytes / pageBytes);
  }
  consumer.done();
  const rows = spacesOf(engine, []).flatMap((asId) =>
    engine
      .slots(asId)
      .filter(({ flags }) => flags & KVM_MEM_LOG_DIRTY_PAGES)
      .map(({ slot, memorySize }) => [
        String(asId),
        String(slot & 0xffff),
        String(dirty.get(slot) ?? 0),
        String(memorySize / pageBytes),
      ]),
  );
  return rows.length === 0 ? "no slot keeps a log" : table(["as", "slot", "dirty", "pages"], rows);
}

/** The commands that every engine has. */
export function engineCommands(engine: MemslotEngine): Record<string, Command> {
  let consumer: DirtyConsumer | undefined;
  const info: Record<string, Command> = {
    "info slots": { help: "[AS] slots by guest address", run: (words) => slots(engine, words) },
    "info generation": {
      help: "[AS] generations and publications",
      run: (words) => generation(engine, words),
    },
    "info readers": { help: "vCPUs and threads", run: () => readers(engine) },
    "info dirty": {
      help: "pages written since the last look",
      run() {
        consumer ??= new DirtyConsumer(engine, "monitor", { initially: "dirty" });
        return dirty(engine, consumer);
      },
    },
  };
  const all = () => Object.values(info).map(({ run }) => run([]));
  return {
    ...info,
    "info all": { help: "these four", run: () => all().join("\n\n") },
    stop: {
      help: "hold the vCPUs between two sections",
      run() {
        engine.pauseVcpus();
        return "held";
      },
    },
    cont: {
      help: "let them go",
      run() {
        engine.resumeVcpus();
        return "running";
      },
    },
  };
}

/** The output for a line, an error message included. */
export function execute(commands: Readonly<Record<string, Command>>, line: string): string {
  const text = line.trim().replace(/\s+/g, " ");
  if (text === "") return "";
  if (text === "help") {
    const rows = Object.entries(commands).map(([name, { help }]) => [name, help]);
    return table(["command", ""], [...rows, ["quit", "end"]]);
  }
  const name = Object.keys(commands).find((name) => text === name || text.startsWith(`${name} `));
  if (name === undefined) return `unknown command "${text}", try help`;
  try {
    return commands[name]!.run(text.slice(name.length).split(" ").filter(Boolean));
  } catch (error) {
    return (error as Error).message;
  }
}

/** Execute commands until the input ends or says quit. */
export async function serveMonitor(
  commands: Readonly<Record<string, Command>>,
  input: Readable,
  output: Writable,
): Promise<void> {
  const lines = createInterface({ input, terminal: false });
  output.write("(monitor) ");
  for await (const line of lines) {
    if (line.trim() === "quit") break;
    const answer = execute(commands, line);
    output.write(`${answer}${answer === "" ? "" : "\n"}(monitor) `);
  }
  lines.close();
  output.write("\n");
}
