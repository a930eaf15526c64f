/** A module of its own that imports the package and has an error thrown. */
import { KvmError, type MemslotEngine } from "memslots";

export const OtherKvmError = KvmError;

export function refuse(engine: MemslotEngine): void {
  engine.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: 1, memorySize: 1, userspaceAddr: 0 });
}
