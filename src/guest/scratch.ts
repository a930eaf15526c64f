/** The bytes of a typed access off the hot path, on their way between host memory, JavaScript and a handler. */

/** A number is exact up to so many bytes. */
const EXACT_BYTES = 6;

/** Copy 1, 2, 4 or 8 bytes as they are. */
export function move(from: DataView, at: number, to: DataView, toAt: number, bytes: number): void {
  if (bytes === 4) to.setUint32(toAt, from.getUint32(at));
  else if (bytes === 1) to.setUint8(toAt, from.getUint8(at));
  else if (bytes === 2) to.setUint16(toAt, from.getUint16(at));
  else {
    to.setUint32(toAt, from.getUint32(at));
    to.setUint32(toAt + 4, from.getUint32(at + 4));
  }
}

/**
 * The unsigned integer in the first 1 to 8 bytes, a bigint of more than 6. A part of an access may have any width.
 */
export function getValue(data: DataView, bytes: number, littleEndian?: boolean): number | bigint {
  if (bytes === 4) return data.getUint32(0, littleEndian);
  if (bytes === 8) return data.getBigUint64(0, littleEndian);
  if (bytes === 2) return data.getUint16(0, littleEndian);
  if (bytes === 1) return data.getUint8(0);
  let value = 0n;
  for (let i = 0; i < bytes; i++)
    value = value * 256n + BigInt(data.getUint8(littleEndian ? bytes - 1 - i : i));
  return bytes > EXACT_BYTES ? value : Number(value);
}

/** Put an integer there, modulo 2 to the power of its bits. */
export function setValue(
  data: DataView,
  bytes: number,
  value: number | bigint,
  littleEndian?: boolean,
): void {
  if (bytes === 4) data.setUint32(0, Number(value), littleEndian);
  else if (bytes === 8) data.setBigUint64(0, BigInt(value), littleEndian);
  else if (bytes === 2) data.setUint16(0, Number(value), littleEndian);
  else if (bytes === 1) data.setUint8(0, Number(value));
  else {
    const all = BigInt(value);
    for (let i = 0; i < bytes; i++) {
      data.setUint8(littleEndian ? i : bytes - 1 - i, Number((all >> BigInt(8 * i)) & 0xffn));
    }
  }
}
