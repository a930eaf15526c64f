/**
 * Guest programs for v86, assembled from bytes: straight-line 32-bit code in a flat segment that accesses memory and
 * ports. It reports to the host over the second serial port, two bytes at a time:
 *
 *   kind, byte    VALUE: a byte that was read; CALL: number of an action of the host, which is done when the next
 *                 instruction runs, because v86 delivers the byte while the guest executes its `out`
 *
 * The same program becomes a firmware of 64 KiB (no BIOS needed) or a floppy that a BIOS boots.
 */

/** Kinds of message. */
export const VALUE = 0x56;
export const CALL = 0x43;

const SERIAL = 0x2f8;
const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;

const FIRMWARE_BYTES = 0x10000;
const FIRMWARE_BASE = 0xf0000;
const RESET_VECTOR = 0xfff0;
const SECTOR_BYTES = 512;
const FLOPPY_BYTES = 1_474_560;
const BOOT_BASE = 0x7c00;
/** Sectors after the boot sector on the first track of the first head. */
const TRACK_SECTORS = 17;
/** Offset in the boot sector after its last jump. */
const JUMP_END = 24;
const STACK = 0x80000;

export type Size = 1 | 2 | 4;

function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);
}

/** A PCI function's address for CONFIG_ADDRESS. */
export function configAddress(bdf: number, offset: number): number {
  return (0x8000_0000 | (bdf << 8) | (offset & 0xfc)) >>> 0;
}

/** 32-bit code, position-independent. */
export class GuestCode {
  readonly bytes: number[] = [];

  /** Append machine code. */
  raw(...bytes: number[]): this {
    this.bytes.push(...bytes);
    return this;
  }

  /** mov eax, imm32 */
  #load(value: number): this {
    return this.raw(0xb8, ...littleEndian(value, 4));
  }

  /** mov dx, imm16 */
  #port(port: number): this {
    return this.raw(0x66, 0xba, ...littleEndian(port, 2));
  }

  out(port: number, size: Size, value: number): this {
    const opcode = { 1: [0xee], 2: [0x66, 0xef], 4: [0xef] }[size];
    return this.#port(port)
      .#load(value)
      .raw(...opcode);
  }

  #in(port: number, size: Size): this {
    const opcode = { 1: [0xec], 2: [0x66, 0xed], 4: [0xed] }[size];
    return this.#port(port).raw(...opcode);
  }

  /** Report the low bytes of eax, lowest first. */
  #tell(size: Size): this {
    this.raw(0x89, 0xc3); // mov ebx, eax
    for (let i = 0; i < size; i++) {
      this.out(SERIAL, 1, VALUE);
      this.raw(0x88, 0xd8, 0xee, 0xc1, 0xeb, 8); // mov al, bl; out dx, al; shr ebx, 8
    }
    return this;
  }

  /** Call the host's action number `action`. */
  call(action: number): this {
    return this.out(SERIAL, 1, CALL).out(SERIAL, 1, action);
  }

  /** Read guest-physical memory and report the bytes. */
  read(gpa: number, size: Size = 1): this {
    const opcode = { 1: [0xa0], 2: [0x66, 0xa1], 4: [0xa1] }[size];
    return this.raw(...opcode, ...littleEndian(gpa, 4)).#tell(size);
  }

  write(gpa: number, value: number, size: Size = 1): this {
    const opcode = { 1: [0xa2], 2: [0x66, 0xa3], 4: [0xa3] }[size];
    return this.#load(value).raw(...opcode, ...littleEndian(gpa, 4));
  }

  /** Write 8 (MMX) or 16 (SSE) bytes with one instruction. */
  writeWide(gpa: number, data: readonly number[]): this {
    const isSse = data.length === 16;
    if (isSse) this.raw(0x0f, 0x20, 0xe0, 0x0d, 0, 2, 0, 0, 0x0f, 0x22, 0xe0); // cr4 |= OSFXSR
    for (const dword of [...data.keys()].filter((i) => i % 4 === 0).reverse()) {
      this.raw(0x68, ...data.slice(dword, dword + 4)); // push imm32
    }
    // movups xmm0, [esp]; movups [gpa], xmm0: or movq with mm0, then emms
    if (isSse) this.raw(0x0f, 0x10, 0x04, 0x24, 0x0f, 0x11, 0x05, ...littleEndian(gpa, 4));
    else this.raw(0x0f, 0x6f, 0x04, 0x24, 0x0f, 0x7f, 0x05, ...littleEndian(gpa, 4), 0x0f, 0x77);
    return this.raw(0x83, 0xc4, data.length); // add esp, length
  }

  /** Wait until the byte of RAM at `gpa` is not 0. */
  waitFor(gpa: number): this {
    return this.raw(0x80, 0x3d, ...littleEndian(gpa, 4), 0, 0x74, 0xf7); // again: cmp byte [gpa], 0; je again
  }

  /** Jump back to the byte `start` of the code. */
  repeatFrom(start: number): this {
    return this.raw(0xe9, ...littleEndian(start - (this.bytes.length + 5) + 2 ** 32, 4));
  }

  /** Read or write each of `gpas` `count` times, in turns. */
  loop(what: "read" | "write", gpas: readonly number[], count: number, size: 1 | 4): this {
    // mov al, [gpa]; mov eax, [gpa]; mov [gpa], al; mov [gpa], eax
    const opcode = (what === "read" ? 0xa0 : 0xa2) + (size === 1 ? 0 : 1);
    this.raw(0xb9, ...littleEndian(count, 4)); // mov ecx, count
    for (const gpa of gpas) this.raw(opcode, ...littleEndian(gpa, 4));
    const bytes = 5 * gpas.length + 3;
    return this.raw(0x49, 0x75, 0x100 - bytes); // dec ecx; jnz to the first access
  }

  configRead(bdf: number, offset: number, size: Size = 4): this {
    this.out(CONFIG_ADDRESS, 4, configAddress(bdf, offset));
    return this.#in(CONFIG_DATA + (offset & 3), size).#tell(size);
  }

  configWrite(bdf: number, offset: number, value: number, size: Size = 4): this {
    this.out(CONFIG_ADDRESS, 4, configAddress(bdf, offset));
    return this.out(CONFIG_DATA + (offset & 3), size, value);
  }
}

/** A switch from real mode at `base` to the flat 32-bit code after it, which ends in a halt with interrupts off. */
function protectedMode(base: number, code: GuestCode): number[] {
  const segment = base < 0x10000 ? 0 : base >>> 4;
  const gdt = base + 8;
  const entry = base + 0x50;
  const head = [
    ...[0xeb, 0x2e], // jmp over the tables, to 0x30
    ...[0, 0, 0, 0, 0, 0],
    ...[0, 0, 0, 0, 0, 0, 0, 0], // 0x08: null descriptor
    ...[0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0], // code, 4 GiB
    ...[0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0], // data, 4 GiB
    ...[23, 0, ...littleEndian(gdt, 4)], // 0x20: operand of lgdt
  ];
  while (head.length < 0x30) head.push(0x90);
  head.push(0xfa); // cli
  head.push(0x2e, 0x66, 0x0f, 0x01, 0x16, ...littleEndian(base + 0x20 - (segment << 4), 2)); // lgdt cs:[]
  head.push(0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0); // cr0 |= PE
  head.push(0x66, 0xea, ...littleEndian(entry, 4), 8, 0); // jmp 8:entry
  while (head.length < 0x50) head.push(0x90);
  head.push(0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0); // ds = es = ss = 0x10
  head.push(0xbc, ...littleEndian(STACK, 4)); // mov esp, STACK
  return [...head, ...code.bytes, 0xfa, 0xf4, 0xeb, 0xfd]; // cli; hlt; jmp to the hlt
}

/** A BIOS image that runs `code` out of reset. */
export function firmware(code: GuestCode): ArrayBuffer {
  const image = new Uint8Array(FIRMWARE_BYTES);
  const program = protectedMode(FIRMWARE_BASE, code);
  if (program.length > RESET_VECTOR) throw new Error("the program is too long for a firmware");
  image.set(program);
  image.set([0xea, 0, 0, 0, 0xf0], RESET_VECTOR); // jmp f000:0
  return image.buffer;
}

/** A floppy that runs `code` when a BIOS boots it. */
export function floppy(code: GuestCode): ArrayBuffer {
  const image = new Uint8Array(FLOPPY_BYTES);
  const program = protectedMode(BOOT_BASE + SECTOR_BYTES, code);
  if (program.length > TRACK_SECTORS * SECTOR_BYTES) throw new Error("the program is too long for a track");
  image.set([
    ...[0x31, 0xc0, 0x8e, 0xc0, 0x8e, 0xd8], // es = ds = 0
    ...[0xbb, ...littleEndian(BOOT_BASE + SECTOR_BYTES, 2)], // mov bx, where to
    ...[0xb8, TRACK_SECTORS, 2, 0xb9, 2, 0, 0xb6, 0], // read 17 sectors from sector 2 on, head 0
    ...[0xcd, 0x13, 0x72, 0xfe], // int 13h; hang on an error
    ...[0xe9, ...littleEndian(SECTOR_BYTES - JUMP_END, 2)], // jmp to the sector behind this one
  ]);
  image.set([0x55, 0xaa], SECTOR_BYTES - 2);
  image.set(program, SECTOR_BYTES);
  return image.buffer;
}
