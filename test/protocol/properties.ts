/** What must hold: in each lookup, in each state, and when everybody is finished. */
import { HALF_BUILT, type Machine, RECYCLED, ROOT_BITS, SLOTS, writtenFor } from "./machine.js";
import type { Reader } from "./reader.js";
import type { Thread } from "./thread.js";
import type { Writer } from "./writer.js";

export const PROPERTIES = {
  recycled: "a lookup meets a recycled chunk",
  halfBuilt: "a lookup meets a half-built layout",
  overwritten: "a lookup meets a chunk of another layout",
  unpublished: "a lookup meets a layout that was never published",
  mixed: "two lookups of a section see different layouts",
  backwards: "a reader goes back to an older layout",
  graceless: "a commit has returned, and a section reads an older layout",
  asleep: "a writer sleeps on a pin that has gone",
  twoWriters: "two writers at a time",
  freeAndReachable: "a chunk is free and reachable",
  poison: "what a dead writer noted is read",
  wrongIds: "the id table belongs to another layout",
  twoLayouts: "two readers are in different layouts",
  notHeld: "a reader is in a section while the gate holds all",
  heldTwice: "a section is held twice for a writer in a hurry",
  lostWakeUp: "a wake-up is lost: only the end of a bounded sleep leads on",
  stuck: "nobody can go on",
  noWayOut: "no way leads to the end",
  lockLeft: "the lock is left held",
  markLeft: "the mark of a dead writer is left",
  gateLeft: "the gate is left closed, or somebody's",
  hurryLeft: "a hurry is left to the last reader, and all have left",
  pinLeft: "a pin is left",
  notReclaimed: "a replaced layout is left",
  leaked: "a chunk is neither free nor reachable",
} as const;

export type Property = keyof typeof PROPERTIES;

function fail(machine: Machine, property: Property | undefined): void {
  machine.violation ??= property;
}

// ---- in a step ----

/** What a lookup in a slot of a root meets; undefined if it is what the root's layout has there. */
function wrongContent(machine: Machine, root: number, slot: number): Property | undefined {
  const layout = machine.layout(root);
  if (layout === HALF_BUILT) return "halfBuilt";
  const content = machine.content(machine.chunk(root, slot));
  if (content === RECYCLED) return "recycled";
  if (content === HALF_BUILT) return "halfBuilt";
  return content === writtenFor(layout, slot) ? undefined : "overwritten";
}

/** `more`: not the first lookup since the root was pinned. */
export function checkLookup(reader: Reader, slot: number, more: boolean): void {
  const { machine } = reader;
  fail(machine, wrongContent(machine, reader.loaded, slot));
  const layout = machine.layout(reader.loaded);
  if (layout > machine.published) fail(machine, "unpublished");
  if (more && layout !== reader.seen) fail(machine, "mixed");
  if (layout < reader.seen) fail(machine, "backwards");
  if (layout < machine.returned) fail(machine, "graceless");
  reader.seen = layout;
}

/** A thread's own section keeps the layout that it began with, whatever the thread commits meanwhile. */
export function checkOwnSection({ machine, ownLine }: Writer): void {
  const root = machine.pin(ownLine);
  for (let slot = 0; slot < SLOTS; slot++) fail(machine, wrongContent(machine, root, slot));
  if (machine.layout(root) !== 1) fail(machine, "mixed");
}

/** A section may last; nobody may sleep through it on the pin that was in its line before. */
export function checkSleepers({ machine, crew, line }: Reader): void {
  const word = machine.pinWord(line);
  for (const thread of crew) {
    if (thread.sleepsOn === word && (thread as Writer).expected !== machine.pin(line))
      fail(machine, "asleep");
  }
}

/** A hurry holds a section once: `held` says that it did. */
export function checkHold({ machine, held }: Reader): void {
  if (held) fail(machine, "heldTwice");
}

export function checkIds(machine: Machine): void {
  if (machine.ids !== machine.layout(machine.active)) fail(machine, "wrongIds");
}

// ---- in a state ----

function checkWriters(machine: Machine, writers: readonly Writer[]): void {
  let inside = 0;
  for (const writer of writers) if (writer.step?.locked) inside++;
  if (inside > 1) fail(machine, "twoWriters");
}

function checkGate(machine: Machine, readers: readonly Reader[]): void {
  let layout = 0;
  for (const reader of readers) {
    if (!reader.isVcpu || !reader.step?.inside) continue;
    if (machine.held) fail(machine, "notHeld");
    if (layout !== 0 && layout !== machine.layout(reader.loaded)) fail(machine, "twoLayouts");
    layout = machine.layout(reader.loaded);
  }
}

/** `barrier`: all commits are made with `barrier: true` or in a pause. */
export function checkState(
  machine: Machine,
  readers: readonly Reader[],
  writers: readonly Writer[],
  barrier: boolean,
): void {
  checkWriters(machine, writers);
  if (barrier) checkGate(machine, readers);
  if (machine.isFreeAndReachable) fail(machine, "freeAndReachable");
}

// ---- at the end ----

/** Nobody can go on but by the end of a bounded sleep, or not at all. */
export function checkStandstill(machine: Machine, threads: readonly Thread[]): void {
  fail(machine, threads.some((thread) => thread.step?.asleep) ? "lostWakeUp" : "stuck");
}

/** Everybody is finished, and one more commit has been made. */
export function checkEnd(machine: Machine): void {
  const root = machine.root & ~ROOT_BITS;
  if (machine.lock !== 0) fail(machine, "lockLeft");
  if (machine.orphaned) fail(machine, "markLeft");
  if (machine.root & ROOT_BITS || machine.gateOwner !== 0) fail(machine, "gateLeft");
  if (machine.waiting === 2) fail(machine, "hurryLeft");
  for (let line = 0; line < machine.lines; line++) if (machine.pin(line) !== 0) fail(machine, "pinLeft");
  if (machine.oldest !== machine.active || machine.active !== root) fail(machine, "notReclaimed");
  if ((machine.free | machine.reachable(root)) !== machine.allChunks) fail(machine, "leaked");
  for (let slot = 0; slot < SLOTS; slot++) fail(machine, wrongContent(machine, root, slot));
}
