/** All groups by name, in the order of the report, and their sizes. */
import type { Group, Scale } from "./case.js";

/** Each is loaded by itself: the process of a case needs one, and some of them load browsers or emulators. */
const LOADERS: Readonly<Record<string, () => Promise<Group>>> = {
  lookup: async () => (await import("../groups/lookup.js")).lookup,
  swap: async () => (await import("../groups/swap.js")).swap,
  js: async () => (await import("../groups/js.js")).js,
  batch: async () => (await import("../groups/batch.js")).batch,
  commit: async () => (await import("../groups/commit.js")).commit,
  hva: async () => (await import("../groups/hva.js")).hva,
  guestmem: async () => (await import("../groups/guestmem.js")).guestmem,
  access: async () => (await import("../groups/access.js")).access,
  dirty: async () => (await import("../groups/dirty.js")).dirty,
  sync: async () => (await import("../groups/sync.js")).sync,
  topology: async () => (await import("../groups/topology.js")).topology,
  boot: async () => (await import("../groups/boot.js")).boot,
  memory: async () => (await import("../groups/memory.js")).memory,
  runtimes: async () => (await import("../groups/runtimes.js")).runtimes,
  kvm: async () => (await import("../groups/kvm.js")).kvm,
};

/** These groups, or all of them if none is named. */
export function loadGroups(names: readonly string[] = []): Promise<Group[]> {
  const wanted = Object.keys(LOADERS).filter((name) => names.length === 0 || names.includes(name));
  return Promise.all(wanted.map((name) => LOADERS[name]!()));
}

export const fullScale: Scale = {
  smoke: false,
  quick: false,
  sizes: [8, 64, 512, 4096, 32764],
  largest: 32764,
  keys: 65536,
  jsKeys: 65536,
  streams: 24,
  jsStreams: 8,
  updates: 4096,
};

/** The same rows, on fewer keys and updates. */
export const quickScale: Scale = {
  ...fullScale,
  quick: true,
  keys: 16384,
  jsKeys: 8192,
  streams: 12,
  jsStreams: 6,
  updates: 1024,
};

export const smokeScale: Scale = {
  smoke: true,
  quick: false,
  sizes: [8, 64, 512],
  largest: 512,
  keys: 256,
  jsKeys: 256,
  streams: 2,
  jsStreams: 2,
  updates: 64,
};
