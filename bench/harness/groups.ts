/**
 * All groups, in the order of the report, and their sizes.
 */
import { batch } from "../groups/batch.js";
import { boot } from "../groups/boot.js";
import { commit } from "../groups/commit.js";
import { dirty } from "../groups/dirty.js";
import { guestmem } from "../groups/guestmem.js";
import { hva } from "../groups/hva.js";
import { js } from "../groups/js.js";
import { kvm } from "../groups/kvm.js";
import { lookup } from "../groups/lookup.js";
import { memory } from "../groups/memory.js";
import { runtimes } from "../groups/runtimes.js";
import { sync } from "../groups/sync.js";
import type { Group, Scale } from "./case.js";

export const groups: readonly Group[] = [
  lookup,
  js,
  batch,
  commit,
  hva,
  guestmem,
  dirty,
  sync,
  boot,
  memory,
  runtimes,
  kvm,
];

export const fullScale: Scale = {
  smoke: false,
  sizes: [8, 64, 512, 4096, 32764],
  largest: 32764,
  keys: 65536,
  jsKeys: 65536,
  streams: 24,
  jsStreams: 8,
  updates: 4096,
};

export const smokeScale: Scale = {
  smoke: true,
  sizes: [8, 64, 512],
  largest: 512,
  keys: 256,
  jsKeys: 256,
  streams: 2,
  jsStreams: 2,
  updates: 64,
};
