/** `memslots export`: the map that a trace or a dump holds, for a reader of QEMU, an engine, or a C program. */
import { Command, InvalidArgumentError, Option } from "commander";
import { encodeKvmRegions } from "../flatview/index.js";
import { encodeUserspaceMemoryRegionList } from "../kvm/regionlist.js";
import { dirtyText } from "../map/dump.js";
import { type ExportedSlot, type Hosts, mtreeText, slotsOf } from "../map/export.js";
import { type MemoryMap, PAGE_BYTES } from "../map/memorymap.js";
import { InputError } from "../trace/jsonl.js";
import { addNotes, FILES, parseCommit } from "./arguments.js";
import { readMap } from "./input.js";
import { complain, printNotes, writeOut } from "./writeout.js";

const FORMATS = ["mtree", "json", "kvm", "kvm-list"] as const;
type Format = (typeof FORMATS)[number];

interface Options {
  readonly at?: number;
  readonly format: Format;
  readonly json?: boolean;
  readonly host?: Hosts;
  readonly out: string;
  readonly pageSize: number;
}

export function exportCommand(): Command {
  const command = new Command("export")
    .description("Write a memory map for other programs: as QEMU's text, as JSON, as structs of KVM.")
    .argument("<file>", "a trace or a dump; - is standard input")
    .option(
      "--at <n>",
      "of a trace: the map after commit n; of several dumps or machines: the n-th",
      parseCommit,
    )
    .addOption(new Option("--format <format>", "what to write").choices(FORMATS).default("mtree"))
    .addOption(new Option("--json", "the same as --format json").conflicts("format"))
    .option("--host <block=address>", "host address of a RAM block; may be repeated", addHost)
    .option(
      "--page-size <bytes>",
      "of the host: a map without slots gets whole pages of it",
      parsePageSize,
      PAGE_BYTES,
    )
    .option("--out <out>", "the file to write; - is standard output", "-")
    .action(exportMap);
  return addNotes(command, HELP);
}

async function exportMap(file: string, options: Options, command: Command): Promise<void> {
  const format = options.json ? "json" : options.format;
  const { at, host = new Map(), out, pageSize } = options;
  if (format === "mtree" && host.size > 0)
    command.error("error: --host is for json and kvm, mtree has no host addresses");
  if (format.startsWith("kvm") && out === "-" && process.stdout.isTTY)
    command.error("error: structs are not for a terminal: name a file by --out, or a pipe");
  try {
    const map = await readMap(file, at);
    writeOut(out, rendered(format, file, map, host, pageSize));
    printNotes(file, map);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complain(error.message);
    process.exitCode = 1;
  }
}

/** @throws InputError if the map cannot be told so */
function rendered(
  format: Format,
  file: string,
  map: MemoryMap,
  hosts: Hosts,
  pageSize: number,
): string | Uint8Array {
  try {
    if (format === "mtree") return mtreeText(map);
    const slots = slotsOf(map, hosts, Math.log2(pageSize));
    if (format === "kvm-list") return encodeUserspaceMemoryRegionList(slots);
    return format === "kvm" ? encodeKvmRegions(slots) : `${JSON.stringify(slots.map(slotJson))}\n`;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(file, undefined, error.message);
  }
}

/** In the order of struct kvm_userspace_memory_region. */
function slotJson({
  dirty,
  slot,
  flags,
  guestPhysAddr,
  memorySize,
  userspaceAddr,
  ...memfd
}: ExportedSlot): object {
  const log = dirty !== undefined && { dirty: dirtyText(dirty) };
  return { slot, flags, guestPhysAddr, memorySize, userspaceAddr, ...memfd, ...log };
}

function parsePageSize(text: string): number {
  const bytes = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (bytes < PAGE_BYTES || bytes > 2 ** 30 || !Number.isInteger(Math.log2(bytes))) {
    throw new InvalidArgumentError("It must be a power of two from 4096 to 2^30.");
  }
  return bytes;
}

/** One more `--host`. */
function addHost(text: string, before: Hosts = new Map()): Hosts {
  const [, block, digits] = /^(.+)=(0x[0-9a-f]{1,14}|\d{1,16})$/i.exec(text) ?? [];
  const address = Number(digits);
  if (block === undefined || !Number.isSafeInteger(address) || address % PAGE_BYTES !== 0) {
    throw new InvalidArgumentError("It must be BLOCK=ADDRESS, the address a multiple of 4096.");
  }
  return new Map([...before, [block, address]]);
}

const HELP = `${FILES}

Formats:
  mtree  the text of QEMU's "info mtree -f", one view for each address space;
         slots, logging and priorities are not told by it
  json   a list of the slots, as engine.slots() answers it and
         engine.setUserMemoryRegionList takes it
  kvm    the slots as an array of struct kvm_userspace_memory_region, each to be
         handed to ioctl KVM_SET_USER_MEMORY_REGION as it is
  kvm-list  the same slots as one struct kvm_userspace_memory_region_list, which
         engine.setUserMemoryRegionList takes, and the RFC's ioctl

MMIO windows are in mtree only. A map that has no slots (of an mtree dump) gets
those that QEMU would make, joined where they continue each other. RAM blocks lie
in the host where --host says, the others one behind the other.

Exit code: 0 done, 1 the input is wrong (standard error names file and line),
2 the command line is wrong.

Examples:
  $ memslots export boot.jsonl.gz
  $ memslots export --at 114 --json boot.jsonl.gz | jq '.[].guestPhysAddr'
  $ memslots export --format kvm --host pc.ram=0x7f0000000000 --out slots.bin mtree.txt`;
