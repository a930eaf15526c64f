/**
 * A Linux user program from bytes: a static i386 ELF without a libc, which is the whole initial RAM disk. It maps the
 * windows' physical pages through /dev/mem into user space, acquires the right to use ports, and then runs guest code
 * as a firmware would.
 */
import type { GuestCode } from "./guest.js";

/** Addresses of the two windows in user space. */
export const USER_LOW = 0x5000_0000;
export const USER_HIGH = 0x5800_0000;

const LOAD_ADDRESS = 0x0804_8000;
const ELF_HEADER_BYTES = 52;
const PROGRAM_HEADER_BYTES = 32;
const CODE_OFFSET = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;
const PAGE_BYTES = 0x1000;

/** System calls of i386. */
const SYS = { open: 5, mount: 21, pause: 29, iopl: 110, mmap2: 192 } as const;
const O_RDWR_SYNC = 0o4010002;
const PROT_READ_WRITE = 3;
const MAP_SHARED_FIXED = 0x11;

function u16(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff];
}

function u32(value: number): number[] {
  return [...u16(value), ...u16(value >>> 16)];
}

/** Load eax, ebx, ecx, edx, esi, edi, ebp, and int 0x80. */
function systemCall(number: number, ...args: number[]): number[] {
  const loads = [0xbb, 0xb9, 0xba, 0xbe, 0xbf, 0xbd];
  const bytes = args.flatMap((arg, i) => [loads[i]!, ...u32(arg)]);
  return [...bytes, 0xb8, ...u32(number), 0xcd, 0x80];
}

/** mmap2(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, eax, physical page) */
function mapPhysical(at: number, gpa: number): number[] {
  // The descriptor of /dev/mem is kept on top of the stack.
  const args = systemCall(SYS.mmap2, at, PAGE_BYTES, PROT_READ_WRITE, MAP_SHARED_FIXED, 0, gpa / PAGE_BYTES);
  const edi = args.indexOf(0xbf, 20);
  return [...args.slice(0, edi), 0x8b, 0x3c, 0x24, ...args.slice(edi + 5)]; // mov edi, [esp]
}

/** The program: physical pages `low` and `high` at USER_LOW and USER_HIGH, then `code`. */
export function initProgram(low: number, high: number, code: GuestCode): Uint8Array {
  const strings = new TextEncoder().encode("devtmpfs\0/dev\0/dev/mem\0");
  const [devtmpfs, dev, mem] = [0, 9, 14];
  const build = (data: number): number[] => [
    ...systemCall(SYS.mount, data + devtmpfs, data + dev, data + devtmpfs, 0, 0),
    ...systemCall(SYS.open, data + mem, O_RDWR_SYNC, 0),
    0x50, // push eax
    ...mapPhysical(USER_LOW, low),
    ...mapPhysical(USER_HIGH, high),
    ...systemCall(SYS.iopl, 3),
    ...code.bytes,
    ...systemCall(SYS.pause),
    ...[0xeb, 0xf7], // again
  ];
  const length = CODE_OFFSET + build(0).length;
  const text = build(LOAD_ADDRESS + length);
  const bytes = length + strings.length;
  return Uint8Array.from([
    ...[0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], // ELF, 32 bits, little-endian
    ...[...u16(2), ...u16(3), ...u32(1)], // executable, i386
    ...[...u32(LOAD_ADDRESS + CODE_OFFSET), ...u32(ELF_HEADER_BYTES), ...u32(0), ...u32(0)],
    ...[...u16(ELF_HEADER_BYTES), ...u16(PROGRAM_HEADER_BYTES), ...u16(1), ...u16(40), ...u16(0), ...u16(0)],
    ...[...u32(1), ...u32(0), ...u32(LOAD_ADDRESS), ...u32(LOAD_ADDRESS)], // PT_LOAD of all
    ...[...u32(bytes), ...u32(bytes), ...u32(5), ...u32(PAGE_BYTES)], // read and execute
    ...text,
    ...strings,
  ]);
}

/** An entry of a cpio archive, format newc. */
function cpioEntry(name: string, mode: number, data: Uint8Array): Buffer {
  const fields = [0, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
  const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  return Buffer.concat([padded(Buffer.from(head)), padded(data)]);
}

/** An initial RAM disk with `program` as /init. */
export function initialRamDisk(program: Uint8Array): ArrayBuffer {
  const archive = Buffer.concat([
    cpioEntry("dev", 0o040755, new Uint8Array()),
    cpioEntry("init", 0o100755, program),
    cpioEntry("TRAILER!!!", 0, new Uint8Array()),
  ]);
  return Uint8Array.from(archive).buffer;
}
