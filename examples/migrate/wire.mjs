/** Frames on a stream: a kind, an address, and bytes. */
import { once } from "node:events";

export const MEMORY = 1;
export const ENGINE = 2;
export const SWITCH = 3;
export const CHECK = 4;

const HEAD_BYTES = 16;

/** Sends frames, and waits where the stream is full. */
export class Sender {
  #stream;

  constructor(stream) {
    this.#stream = stream;
  }

  /** The bytes are copied first: the guest may go on to write them. */
  async send(kind, address, bytes) {
    const frame = Buffer.alloc(HEAD_BYTES + bytes.length);
    frame.writeUInt32LE(kind, 0);
    frame.writeUInt32LE(bytes.length, 4);
    frame.writeDoubleLE(address, 8);
    frame.set(bytes, HEAD_BYTES);
    if (!this.#stream.write(frame)) await once(this.#stream, "drain");
  }
}

/** Yields the frames of a stream. */
export async function* receive(stream) {
  let rest = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const bytes = rest.length < HEAD_BYTES ? Number.POSITIVE_INFINITY : rest.readUInt32LE(4);
      if (rest.length < HEAD_BYTES + bytes) break;
      const end = HEAD_BYTES + bytes;
      yield {
        kind: rest.readUInt32LE(0),
        address: rest.readDoubleLE(8),
        bytes: rest.subarray(HEAD_BYTES, end),
      };
      rest = rest.subarray(end);
    }
  }
}
