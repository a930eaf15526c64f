/** Ways to boot a guest program: a small firmware, or Debian's SeaBIOS and kernel. */
import { existsSync } from "node:fs";
import type { V86Options } from "v86";
import { firmware, floppy, type GuestCode } from "./guest.js";
import { initialRamDisk, initProgram, USER_HIGH, USER_LOW } from "./linux.js";
import { fileBuffer } from "./machine.js";
import { MIB, SIZES } from "./sizes.js";

/** Physical addresses of the windows that the programs access. */
export const LOW = 0xd000_0000;
export const HIGH = 0xd800_0000;

/** A way to boot. */
export interface Boot {
  readonly name: string;
  /** Addresses at which the program finds LOW and HIGH. */
  readonly low: number;
  readonly high: number;
  /** Required Debian packages, with a file of each. */
  readonly needs: readonly (readonly [debian: string, file: string])[];
  options(code: GuestCode): V86Options;
}

const SEABIOS = "/usr/share/seabios/bios.bin";
const VGABIOS = "/usr/share/seabios/vgabios-stdvga.bin";
const KERNEL = "/usr/lib/debian-installer/images/12/i386/text/debian-installer/i386/linux";
/** FLOPPY_HARDDISK_CD of v86's BootOrder, which its package declares but does not export. */
const FLOPPY_FIRST = 0x321;
const seabios = ["seabios", SEABIOS] as const;

function bios(): V86Options {
  return { bios: { buffer: fileBuffer(SEABIOS) }, vga_bios: { buffer: fileBuffer(VGABIOS) } };
}

export const ownFirmware: Boot = {
  name: "own firmware",
  low: LOW,
  high: HIGH,
  needs: [],
  options: (code) => ({ ...SIZES, bios: { buffer: firmware(code) } }),
};

export const seaBios: Boot = {
  name: "SeaBIOS",
  low: LOW,
  high: HIGH,
  needs: [seabios],
  options: (code) => ({
    ...SIZES,
    ...bios(),
    fda: { buffer: floppy(code) },
    boot_order: FLOPPY_FIRST,
  }),
};

export const linux: Boot = {
  name: "Linux user space",
  low: USER_LOW,
  high: USER_HIGH,
  needs: [seabios, ["debian-installer-12-netboot-i386", KERNEL]],
  options: (code) => ({
    ...SIZES,
    ...bios(),
    memory_size: 128 * MIB,
    bzimage: { buffer: fileBuffer(KERNEL) },
    initrd: { buffer: initialRamDisk(initProgram(LOW, HIGH, code)) },
    // One serial port for the kernel: the second is the program's.
    cmdline: "console=ttyS0 quiet 8250.nr_uarts=1",
  }),
};

/** Reason why a boot cannot run here, undefined if it can. */
export function missing({ needs }: Boot): string | undefined {
  const absent = needs.filter(([, file]) => !existsSync(file)).map(([debian]) => debian);
  if (absent.length === 0) return undefined;
  return `no Debian package ${absent.join(", ")}: apt-get install ${absent.join(" ")}`;
}
