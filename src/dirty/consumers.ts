/** The dirty consumers of an engine, as a list. */
import {
  CONSUMER_BYTES,
  CONSUMER_INITIALLY_DIRTY_OFFSET,
  CONSUMER_NAME_BYTES_OFFSET,
  CONSUMER_SERIAL_OFFSET,
  CONSUMERS_MAX,
  HEADER_HOST_LOG_OFFSET,
  HOST_LOG_CONSUMER0_OFFSET,
} from "../core/layout.js";
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { TIMEOUT_MS } from "../write/commitoptions.js";
import { locked, lockedAsync } from "../write/lock.js";

/** A dirty consumer. */
export interface ConsumerInfo {
  /** Its name, for `new DirtyConsumer`. */
  readonly name: string;
  /** State of pages when it first meets them, as in `ConsumerOptions`. */
  readonly initially: "clean" | "dirty";
}

/**
 * The dirty consumers of an engine, in the order in which they were opened.
 * @throws TypeError; KvmError EBUSY while another thread keeps the writer lock
 */
export function consumersOf(engine: Engine): ConsumerInfo[] {
  const thread = threadOf(engine);
  return locked(thread, "consumersOf", TIMEOUT_MS, () => openConsumers(thread));
}

/** The same without sleeping, for a page. @throws as consumersOf */
export async function consumersOfAsync(engine: Engine): Promise<ConsumerInfo[]> {
  const thread = threadOf(engine);
  return await lockedAsync(thread, "consumersOfAsync", TIMEOUT_MS, () => openConsumers(thread));
}

/** The same under the lock. */
export function openConsumers(thread: Thread): ConsumerInfo[] {
  const { views } = thread;
  return consumerPlaces(thread).map(({ at }) => {
    const name = at + CONSUMER_BYTES;
    const end = name + wordOf(thread, at + CONSUMER_NAME_BYTES_OFFSET);
    return {
      name: new TextDecoder().decode(views.bytes(end).slice(name, end)),
      initially: wordOf(thread, at + CONSUMER_INITIALLY_DIRTY_OFFSET) !== 0 ? "dirty" : "clean",
    };
  });
}

/** Place and address of each consumer, in the order of opening. Under the lock. */
export function consumerPlaces(thread: Thread): { place: number; at: number }[] {
  const log = thread.header(HEADER_HOST_LOG_OFFSET);
  if (log === 0) return [];
  const serialOf = (at: number) => wordOf(thread, at + CONSUMER_SERIAL_OFFSET);
  return Array.from({ length: CONSUMERS_MAX }, (_, place) => ({
    place,
    at: wordOf(thread, log + HOST_LOG_CONSUMER0_OFFSET + place * 4),
  }))
    .filter(({ at }) => at !== 0)
    .sort((a, b) => serialOf(a.at) - serialOf(b.at));
}

function wordOf({ views }: Thread, address: number): number {
  return views.words(address + 4)[address >>> 2]!;
}
