/**
 * Devices behind the windows of a guest's bus: what an access becomes for the device that gets it.
 *
 * Mirrors MemoryRegionOps, memory_access_size and access_with_adjusted_size (QEMU system/memory.c, physmem.c).
 */
import { checkFunction, checkObject, checkOptionNames, show, toBoolean } from "../kvm/arguments.js";
import { getValue, setValue } from "./scratch.js";

/** Sizes of accesses in bytes: 1, 2, 4 or 8. */
export interface AccessSizes {
  /** Smallest; 1 if not given. */
  readonly minAccessSize?: number | undefined;
  /** Largest; 8 if not given. */
  readonly maxAccessSize?: number | undefined;
  /** Accesses need no alignment. Default false. */
  readonly unaligned?: boolean | undefined;
}

/** A device. Its functions run outside of the vCPU's section: they may use the memory, change the map, throw. */
export interface Device {
  /**
   * Load `size` bytes, 1, 2, 4 or 8, from byte `offset` of the registers.
   * @param littleEndian byte order of the value
   * @returns the value, modulo 2^(8 * size)
   */
  read(offset: number, size: number, littleEndian: boolean): number | bigint;
  /** Store an unsigned value, a bigint if `size` is 8; of a float its bits. */
  write(offset: number, size: number, value: number | bigint, littleEndian: boolean): void;
  /** Byte order of the registers. That of the access if not given: then the guest's value is the device's. */
  readonly endianness?: "little" | "big" | undefined;
  /** Accesses that a guest may make: larger ones are split, others are holes of the kind `device`. Any if not given. */
  readonly valid?: AccessSizes | undefined;
  /** Accesses that `read` and `write` implement: larger ones are split, smaller ones widened. Any if not given. */
  readonly impl?: AccessSizes | undefined;
}

/** Devices by number, which may come and go at any time. */
export type Devices = { readonly [device: number]: Device | undefined };

const SIZE_MAX = 8;

/** @throws TypeError naming the device and its field */
export function checkDevices(devices: Devices): Devices {
  checkObject(devices, "devices");
  for (const [number, device] of Object.entries(devices)) {
    if (device !== undefined) checkDevice(device, `devices[${number}]`);
  }
  return devices;
}

function checkDevice(device: Device, name: string): void {
  checkObject(device, name);
  checkFunction(device.read, `${name}.read`);
  checkFunction(device.write, `${name}.write`);
  const { endianness, valid, impl } = device;
  if (endianness !== undefined && endianness !== "little" && endianness !== "big") {
    throw new TypeError(`${name}.endianness must be "little" or "big", not ${show(endianness)}`);
  }
  if (valid !== undefined) checkSizes(valid, `${name}.valid`);
  if (impl !== undefined) checkSizes(impl, `${name}.impl`);
}

function checkSizes(sizes: AccessSizes, name: string): void {
  checkOptionNames<AccessSizes>(sizes, { minAccessSize: true, maxAccessSize: true, unaligned: true }, name);
  const { minAccessSize = 1, maxAccessSize = SIZE_MAX } = sizes;
  for (const [field, size] of Object.entries({ minAccessSize, maxAccessSize })) {
    if (size !== 1 && size !== 2 && size !== 4 && size !== SIZE_MAX) {
      throw new TypeError(`${name}.${field} must be 1, 2, 4 or 8, not ${show(size)}`);
    }
  }
  if (minAccessSize > maxAccessSize) {
    throw new RangeError(
      `${name}.minAccessSize must not be above maxAccessSize, not ${minAccessSize} and ${maxAccessSize}`,
    );
  }
  toBoolean(sizes.unaligned, `${name}.unaligned`, false);
}

/** True for a device that takes accesses of any size as they are, in the byte order of the access. */
export function isPlain(device: Device): boolean {
  checkDevice(device, "device");
  return device.endianness === undefined && device.valid === undefined && device.impl === undefined;
}

/**
 * An access to bytes [offset, offset + bytes) of a device, between its registers and `data`, whose bytes are in the
 * order of guest memory. @returns false for one that is not valid; nothing was done
 */
export function accessDevice(
  device: Device,
  offset: number,
  bytes: number,
  write: boolean,
  data: DataView,
  littleEndian: boolean,
): boolean {
  const order = device.endianness === undefined ? littleEndian : device.endianness === "little";
  for (let done = 0; done < bytes; ) {
    const size = accessSize(device, offset + done, bytes - done);
    if (size === 0) return false;
    done += size;
  }
  for (let done = 0; done < bytes; ) {
    const size = accessSize(device, offset + done, bytes - done);
    const part = new DataView(data.buffer, data.byteOffset + done, size);
    if (write) writeAdjusted(device, offset + done, size, BigInt(getValue(part, size, order)), order);
    else setValue(part, size, readAdjusted(device, offset + done, size, order), order);
    done += size;
  }
  return true;
}

/** Bytes of the next access to a device that is left `bytes` bytes at `offset`; 0 if it is not valid. */
function accessSize({ valid, impl }: Device, offset: number, bytes: number): number {
  let most = valid?.maxAccessSize ?? SIZE_MAX;
  const aligned =
    impl === undefined ? valid !== undefined && valid.unaligned !== true : impl.unaligned !== true;
  if (aligned) while (offset % most !== 0) most /= 2;
  while (most > bytes) most /= 2;
  if (valid === undefined) return most;
  const refused = most < (valid.minAccessSize ?? 1) || (valid.unaligned !== true && offset % most !== 0);
  return refused ? 0 : most;
}

/** What a device's functions are called with for a valid access: of the sizes that they implement. */
function implSize({ impl }: Device, size: number): number {
  return Math.max(Math.min(size, impl?.maxAccessSize ?? SIZE_MAX), impl?.minAccessSize ?? 1);
}

/** Bits by which the part at byte `i` of `size` is shifted; below 0 for a widened access of big-endian registers. */
function shiftOf(i: number, size: number, step: number, littleEndian: boolean): bigint {
  return BigInt(8 * (littleEndian ? i : size - step - i));
}

function readAdjusted(device: Device, offset: number, size: number, littleEndian: boolean): bigint {
  const step = implSize(device, size);
  let value = 0n;
  for (let i = 0; i < size; i += step) {
    const part = BigInt.asUintN(8 * step, BigInt(device.read(offset + i, step, littleEndian)));
    value |= part << shiftOf(i, size, step, littleEndian);
  }
  return value;
}

function writeAdjusted(
  device: Device,
  offset: number,
  size: number,
  value: bigint,
  littleEndian: boolean,
): void {
  const step = implSize(device, size);
  for (let i = 0; i < size; i += step) {
    const part = BigInt.asUintN(8 * step, value >> shiftOf(i, size, step, littleEndian));
    device.write(offset + i, step, step === SIZE_MAX ? part : Number(part), littleEndian);
  }
}
