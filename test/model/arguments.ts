/**
 * What an ioctl would find in its argument: unsigned numbers. JS hands over anything, so the types are looked
 * at first and refused with a TypeError that names the field; nothing of KVM's own checks happens here.
 */
import {
  decodeUserspaceMemoryRegion,
  decodeUserspaceMemoryRegion2,
  type UserspaceMemoryRegion,
  type UserspaceMemoryRegion2,
} from "../../src/kvm/uapi.js";

export interface Arguments {
  slot: number;
  flags: number;
  gpa: bigint;
  size: bigint;
  hva: bigint;
  guestMemfdOffset: bigint;
  guestMemfd: number;
}

export function readU32(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new TypeError(`${field} must be an integer of 32 bits, got ${String(value)}`);
  }
  return value;
}

export function readU64(value: unknown, field: string): bigint {
  if (typeof value === "bigint" && value >= 0n && value < 1n << 64n) return value;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  throw new TypeError(`${field} must be an exact unsigned integer of 64 bits, got ${String(value)}`);
}

function readObject(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`${field} must be an object, got ${String(value)}`);
  }
  return value as Record<string, unknown>;
}

export function readRegion(region: UserspaceMemoryRegion | Uint8Array, op: string): Arguments {
  const fields = readObject(
    region instanceof Uint8Array ? decodeUserspaceMemoryRegion(region, op) : region,
    "region",
  );
  return {
    slot: readU32(fields.slot, "slot"),
    flags: readU32(fields.flags, "flags"),
    gpa: readU64(fields.guestPhysAddr, "guestPhysAddr"),
    size: readU64(fields.memorySize, "memorySize"),
    hva: readU64(fields.userspaceAddr, "userspaceAddr"),
    guestMemfdOffset: 0n,
    guestMemfd: 0,
  };
}

export function readRegion2(region: UserspaceMemoryRegion2 | Uint8Array, op: string): Arguments {
  const decoded = region instanceof Uint8Array ? decodeUserspaceMemoryRegion2(region, op) : region;
  const args = readRegion(decoded, op);
  if (decoded.guestMemfdOffset !== undefined) {
    args.guestMemfdOffset = readU64(decoded.guestMemfdOffset, "guestMemfdOffset");
  }
  args.guestMemfd = decoded.guestMemfd ?? 0;
  return args;
}
