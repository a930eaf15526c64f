/**
 * An initial RAM disk as Linux takes it: a cpio archive of the format "newc".
 */
export interface ArchiveFile {
  readonly name: string;
  /** File type and permissions, as st_mode. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Major and minor number of a device. */
  readonly device?: readonly [number, number];
}

export const MODE = { directory: 0o040755, program: 0o100755, file: 0o100644, console: 0o020600 } as const;

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  whole.set(bytes);
  return whole;
}

function entryOf({ name, mode, data = new Uint8Array(0), device = [0, 0] }: ArchiveFile, inode: number) {
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, name.length + 1, 0];
  const digits = fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  return [padded(new TextEncoder().encode(`070701${digits}${name}\0`)), padded(data)];
}

export function archiveOf(files: readonly ArchiveFile[]): Uint8Array {
  const parts = [...files, { name: "TRAILER!!!", mode: 0 }].flatMap((file, i) => entryOf(file, i + 1));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
