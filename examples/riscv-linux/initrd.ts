/**
 * The guest's initial RAM disk, and what its kernel is told: a script, Debian's busybox, files whose sums are known.
 */
import { type ArchiveFile, archiveOf, MODE } from "./cpio.js";

/** Bytes of each file of data: some seconds of SHA-256. */
const DATA_BYTES = 1 << 20;
const DATA_FILES = 4;

/** What the prompt of the guest's shell is. */
export const PROMPT = "guest# ";

/** How the console's terminal is set: for programs, which read what commands write, or for someone who types. */
const READ = "-echo -onlcr";
export const TYPED = "sane";

/** The first program; `terminal`: READ or TYPED. */
const initOf = (terminal: string) => `#!/bin/busybox sh
/bin/busybox echo init starts
/bin/busybox --install -s /bin
export PATH=/bin PS1="${PROMPT}"
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs scratch /scratch
stty ${terminal}
exec setsid cttyhack sh -i
`;

/** The console is the UART. */
export const COMMAND_LINE = "console=ttyS0 earlycon=uart8250,mmio,0x10000000 quiet loglevel=4";

/** The same bytes each time: a sequence of 32-bit numbers, xorshift. */
function dataOf(seed: number): Uint8Array {
  const words = new Uint32Array(DATA_BYTES / 4);
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}

/** What is in /data, file by file. */
export function dataFiles(): Uint8Array[] {
  return Array.from({ length: DATA_FILES }, (_, i) => dataOf(i + 1));
}

/** The disk with `data` as the files of /data; `terminal`: for programs if not given. */
export function initrdOf(busybox: Uint8Array, data: readonly Uint8Array[], terminal = READ): Uint8Array {
  const folders = ["bin", "data", "dev", "proc", "scratch", "sys"];
  const files: ArchiveFile[] = [
    ...folders.map((name) => ({ name, mode: MODE.directory })),
    { name: "dev/console", mode: MODE.console, device: [5, 1] },
    { name: "bin/busybox", mode: MODE.program, data: busybox },
    { name: "init", mode: MODE.program, data: new TextEncoder().encode(initOf(terminal)) },
    ...data.map((bytes, i) => ({ name: `data/${i}`, mode: MODE.file, data: bytes })),
  ];
  return archiveOf(files);
}
