/** v86's imports without v86: its own handlers are played by an array, and the guest by the test. */
import type { V86Map } from "memslots/v86";

/** Functions that v86's wasm calls. */
export type Env = Record<string, (...words: number[]) => number>;

/** v86's own handlers over the bytes from guest address `base` on; ports read as ones. */
export function fakeV86(bytes: Uint8Array, base: number): Env {
  const view = new DataView(bytes.buffer);
  const at = (addr: number) => (addr >>> 0) - base;
  const nothing = () => 0;
  return {
    mmap_read8: (addr) => view.getUint8(at(addr!)),
    mmap_read32: (addr) => view.getInt32(at(addr!), true),
    mmap_write8: (addr, value) => {
      view.setUint8(at(addr!), value!);
      return 0;
    },
    mmap_write16: (addr, value) => {
      view.setUint16(at(addr!), value!, true);
      return 0;
    },
    mmap_write32: (addr, value) => {
      view.setInt32(at(addr!), value!, true);
      return 0;
    },
    mmap_write64: nothing,
    mmap_write128: nothing,
    io_port_read8: () => 0xff,
    io_port_read16: () => 0xffff,
    io_port_read32: () => -1,
    io_port_write8: nothing,
    io_port_write16: nothing,
    io_port_write32: nothing,
  };
}

/** Functions that v86's wasm calls once the map stands before v86. */
export async function envOf(map: V86Map, v86: Env): Promise<Env> {
  const imports = { env: { ...v86 } };
  await map.wasmFunction(async () => ({}))(imports);
  return imports.env;
}
