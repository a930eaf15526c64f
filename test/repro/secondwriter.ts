/**
 * A thread that makes single updates of a slot of its own, while others make lists: a VMM with a device
 * thread.
 */
import { type EngineHandle, HVA_BAD, KvmError, MemslotEngine } from "memslots";
import type { Progress } from "../../src/replay/progress.js";
import { PAGE } from "../support/region.js";

/** Its slot, where no scenario has one. */
export const SECOND_WRITER_SLOT = 100;
const GPA = 0x4_0000_0000;
const HOST = 0x2000_0000_0000;
const BYTES = 16 * PAGE;

export interface SecondWriterTask {
  readonly role: "second writer";
  readonly handle: EngineHandle;
}

export interface SecondWriterCount {
  /** Single updates made. */
  updates: number;
  /** Updates that were refused, or after whose return the slot was not as the update left it. */
  undone: number;
}

export async function runSecondWriter(
  task: SecondWriterTask,
  number: number,
  progress: Progress,
): Promise<SecondWriterCount> {
  const engine = await MemslotEngine.attach(task.handle);
  const count = { updates: 0, undone: 0 };
  while (!progress.stopped) {
    for (const memorySize of [BYTES, 0]) {
      const region = {
        slot: SECOND_WRITER_SLOT,
        flags: 0,
        guestPhysAddr: GPA,
        memorySize,
        userspaceAddr: HOST,
      };
      try {
        engine.setUserMemoryRegion(region);
      } catch (error) {
        if (!(error instanceof KvmError)) throw error;
        count.undone++;
      }
      count.updates++;
      if (engine.gpaToHva(GPA + PAGE) !== (memorySize === 0 ? HVA_BAD : HOST + PAGE)) count.undone++;
    }
    progress.note(number);
  }
  engine.close();
  return count;
}
