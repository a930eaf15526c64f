/**
 * Live migration to another process, after QEMU's: all of RAM is sent while the guest works, then the pages that the
 * dirty log has, round by round, and what is left while the harts are held. The other process goes on.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { serialize } from "node:v8";
import { KVM_MEM_LOG_DIRTY_PAGES } from "memslots";
import type { Booted } from "../booted.js";
import type { LinuxGuest } from "../guest.js";
import type { Machine, Snapshot } from "../machine.js";
import { sumsOf } from "./shell.js";

const ARRIVAL = fileURLToPath(new URL("./arrival.ts", import.meta.url));
export const PAGE_BYTES = 4096;
/** Few enough pages to send while the guest stands still, and rounds after which it is stopped anyway. */
const FEW_PAGES = 256;
const ROUNDS_MAX = 8;

/** Of the guest's work: more than it can do before it is gone. */
const REPEATS = 5;

/** A message: its kind and its bytes, then these. */
export const MESSAGE = { pages: 1, end: 2 } as const;
export const HEADER_BYTES = 8;

/** The last message. Its snapshot has the memory behind RAM only. */
export interface Departure {
  readonly snapshot: Snapshot;
  /** What the console has written so far. */
  readonly before: string;
}

/** What the other process prints at last. */
export interface Arrival {
  /** When its harts ran, ms of the epoch. */
  readonly ranAt: number;
  /** SHA-256 of RAM as it has come. */
  readonly ram: string;
  /** What the console has written, here and there. */
  readonly text: string;
}

export interface MigrationResult {
  /** Pages sent, by round; the last while the guest stood still. */
  readonly rounds: readonly number[];
  /** From the standstill here to the first instruction there. */
  readonly downMs: number;
  readonly wrong: readonly string[];
}

async function send(stream: Writable, kind: number, ...parts: readonly Uint8Array[]): Promise<void> {
  const header = new Uint32Array([kind, parts.reduce((sum, part) => sum + part.length, 0)]);
  for (const part of [new Uint8Array(header.buffer), ...parts]) {
    if (!stream.write(part)) await once(stream, "drain");
  }
}

/** Pages as the guest has them now; those of `numbers`. */
async function sendPages(stream: Writable, ram: Uint8Array, numbers: Uint32Array): Promise<void> {
  const bytes = new Uint8Array(numbers.length * PAGE_BYTES);
  for (const [i, page] of numbers.entries()) {
    bytes.set(ram.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), i * PAGE_BYTES);
  }
  const head = new Uint8Array(Uint32Array.of(numbers.length, ...numbers).buffer);
  await send(stream, MESSAGE.pages, head, bytes);
}

function ramOf(machine: Machine): Uint8Array {
  return new Uint8Array(machine.memory.buffer, machine.ramHva, machine.ramBytes);
}

/** Pages that are not all zeros: memory begins so on the other side, too. */
function usedPages(ram: Uint8Array): Uint32Array {
  const words = new Float64Array(ram.buffer, ram.byteOffset, ram.length / 8);
  const perPage = PAGE_BYTES / 8;
  const isUsed = (page: number) => {
    for (let i = page * perPage; i < (page + 1) * perPage; i++) if (!Object.is(words[i], 0)) return true;
    return false;
  };
  return Uint32Array.from(Array.from({ length: ram.length / PAGE_BYTES }, (_, page) => page).filter(isUsed));
}

/** The pages whose bits are set; takes the bits. */
function dirtyPages(machine: Machine): Uint32Array {
  const pages: number[] = [];
  for (const [i, bits] of machine.engine.getDirtyLog(0).entries()) {
    for (let bit = 0; bit < 8; bit++) if ((bits >> bit) & 1) pages.push(i * 8 + bit);
  }
  return Uint32Array.from(pages);
}

/** The machine of `booted` ends here. */
export async function runMigration(booted: Booted, guest: LinuxGuest): Promise<MigrationResult> {
  const { machine, console: output } = booted;
  const child = spawn(process.execPath, ["--import", "tsx", ARRIVAL], { stdio: ["pipe", "pipe", "inherit"] });
  const answer = collect(child.stdout);
  const ram = ramOf(machine);
  const from = output.text.length;
  output.type(
    `for i in $(seq ${REPEATS}); do sha256sum /data/*; cat /data/* | sha256sum; done; echo all done\n`,
  );
  machine.engine.setUserMemoryRegion(machine.ram(0, 0, machine.ramBytes, KVM_MEM_LOG_DIRTY_PAGES));
  const rounds: number[] = [];
  let pages = usedPages(ram);
  while (rounds.length < ROUNDS_MAX && (rounds.length === 0 || pages.length > FEW_PAGES)) {
    rounds.push(pages.length);
    await sendPages(child.stdin, ram, pages);
    pages = dirtyPages(machine);
  }
  const heldAt = performance.timeOrigin + performance.now();
  machine.hold();
  const last = new Set([...pages, ...dirtyPages(machine)]);
  rounds.push(last.size);
  await sendPages(child.stdin, ram, Uint32Array.from(last));
  const { memory, ...rest } = machine.save();
  const behindRam = memory.slice(machine.ramBytes);
  const departure: Departure = { snapshot: { ...rest, memory: behindRam }, before: output.text.slice(from) };
  await send(child.stdin, MESSAGE.end, serialize(departure));
  child.stdin.end();
  const sum = createHash("sha256").update(ram).digest("hex");
  await machine.end();
  const arrival = JSON.parse(await answer) as Arrival;
  const all = createHash("sha256").update(Buffer.concat(guest.data)).digest("hex");
  const wanted = `${`${sumsOf(guest)}${all}  -\n`.repeat(REPEATS)}all done\n`;
  const found = arrival.text;
  return {
    rounds,
    downMs: arrival.ranAt - heldAt,
    wrong: [
      ...(found === wanted ? [] : [`migrated: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`]),
      ...(arrival.ram === sum ? [] : ["migrated: a page has come as it was before its last write"]),
    ],
  };
}

async function collect(stream: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}
