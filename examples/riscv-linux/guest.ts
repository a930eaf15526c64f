/**
 * The guest: Debian's kernel, and an initial RAM disk with Debian's busybox.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { COMMAND_LINE, dataFiles, initrdOf } from "./initrd.js";
import type { Guest } from "./machine.js";

export const GUEST = fileURLToPath(new URL("../../build/riscv-linux/guest", import.meta.url));
/** Where the installer's package has its files. */
export const INSTALLER = "/usr/lib/debian-installer/images/13/riscv64/text/debian-installer/riscv64";

export const GUEST_FILES = {
  kernel: `${GUEST}/linux`,
  installer: `${GUEST}/initrd.gz`,
  busybox: `${GUEST}/busybox`,
} as const;

export const MISSING =
  "the guest is not here: npm run fetch:linux brings Debian's kernel and busybox for riscv64";

export interface DataFile {
  readonly name: string;
  readonly sha256: string;
}

export interface LinuxGuest extends Guest {
  readonly files: readonly DataFile[];
  /** What is in them. */
  readonly data: readonly Uint8Array[];
}

export function hasGuest(): boolean {
  return existsSync(GUEST_FILES.kernel) && existsSync(GUEST_FILES.busybox);
}

/** @throws Error if the packages are not here */
export function linuxGuest(): LinuxGuest {
  if (!hasGuest()) throw new Error(MISSING);
  const data = dataFiles();
  return {
    kernel: readFileSync(GUEST_FILES.kernel),
    initrd: initrdOf(readFileSync(GUEST_FILES.busybox), data),
    commandLine: COMMAND_LINE,
    data,
    files: data.map((bytes, i) => ({
      name: `/data/${i}`,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    })),
  };
}
