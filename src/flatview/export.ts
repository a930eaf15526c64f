/**
 * Views for other programs: as JSON, and as struct kvm_userspace_memory_region.
 */

import { checkOptionNames } from "../kvm/arguments.js";
import type { Slot } from "../kvm/region.js";
import {
  encodeUserspaceMemoryRegion,
  KVM_USERSPACE_MEMORY_REGION_BYTES,
  type UserspaceMemoryRegion as KvmRegion,
} from "../kvm/uapi.js";
import { FlatView } from "./flatview.js";
import { mappingOf } from "./mapping.js";
import { MemoryRegion, type RegionKind } from "./memoryregion.js";
import { planList } from "./plan.js";
import type { FlatRange } from "./render.js";
import { SlotNumbers } from "./slotnumbers.js";

/** A range as JSON. Numbers that may exceed 2^53 are strings "0x...". */
export interface FlatRangeJson {
  /** First guest byte. */
  readonly start: string;
  /** Bytes. */
  readonly size: string;
  /** Byte of the region at `start`. */
  readonly offset: string;
  /** Place in `regions`. */
  readonly region: number;
  /** Guest writes are refused. */
  readonly readonly?: true;
  /** A romDevice in its readable mode. */
  readonly romd?: true;
  /** A dirty log is kept. */
  readonly log?: true;
}

/** A region as JSON, without the tree around it. */
export interface RegionJson {
  /** As in the tree. */
  readonly name: string;
  /** Never "container" or "alias", which answer for nothing themselves. */
  readonly kind: RegionKind;
  /** Bytes, "0x...". */
  readonly size: string;
  /** Order among what overlaps, highest first. */
  readonly priority: number;
  /** Host address of its first byte, "0x..."; ram, ramDevice, rom, romDevice. */
  readonly host?: string;
  /** Number of its device; io, romDevice. */
  readonly device?: number;
}

/** A FlatView as JSON. */
export interface FlatViewJson {
  /** Regions that answer for something. */
  readonly regions: readonly RegionJson[];
  /** What they answer for, ascending. */
  readonly ranges: readonly FlatRangeJson[];
}

const hex = (value: bigint | number) => `0x${value.toString(16)}`;

/** What JSON.stringify takes. */
export function flatViewToJson(view: FlatView): FlatViewJson {
  const regions = [...new Set(view.ranges.map(({ region }) => region))];
  return {
    regions: regions.map(({ name, kind, size, priority, host, device }) => ({
      name,
      kind,
      size: hex(size),
      priority,
      ...(host === undefined ? {} : { host: hex(host) }),
      ...(device === undefined ? {} : { device }),
    })),
    ranges: view.ranges.map(({ start, size, offset, region, readonly, romd, log }) => ({
      start: hex(start),
      size: hex(size),
      offset: hex(offset),
      region: regions.indexOf(region),
      ...(readonly ? { readonly } : {}),
      ...(romd ? { romd } : {}),
      ...(log ? { log } : {}),
    })),
  };
}

function big(value: unknown, name: string): bigint {
  if (typeof value !== "string" || !/^0x[0-9a-f]{1,17}$/.test(value)) {
    throw new TypeError(`${name} must be a string "0x...", not ${JSON.stringify(value)}`);
  }
  return BigInt(value);
}

function regionFrom(json: RegionJson, name: string): MemoryRegion {
  const size = big(json?.size, `${name}.size`);
  const host = () => Number(big(json.host, `${name}.host`));
  const device = json.device ?? 0;
  switch (json.kind) {
    case "ram":
      return MemoryRegion.ram(json.name, size, host());
    case "ramDevice":
      return MemoryRegion.ramDevice(json.name, size, host());
    case "rom":
      return MemoryRegion.rom(json.name, size, host());
    case "romDevice":
      return MemoryRegion.romDevice(json.name, size, host(), device);
    case "io":
      return MemoryRegion.io(json.name, size, device);
    default:
      throw new TypeError(`${name}.kind must be one that answers, not ${JSON.stringify(json.kind)}`);
  }
}

/** The view of such JSON. @throws TypeError, RangeError naming the field */
export function flatViewFromJson(json: FlatViewJson): FlatView {
  if (!Array.isArray(json?.regions)) throw new TypeError("regions must be an array");
  if (!Array.isArray(json.ranges)) throw new TypeError("ranges must be an array");
  const shelf = MemoryRegion.container("json", 2n ** 64n);
  const regions = json.regions.map((region: RegionJson, i) => {
    const made = regionFrom(region, `regions[${i}]`);
    shelf.addSubregion(0, made, region.priority);
    return made;
  });
  const ranges = json.ranges.map((range: FlatRangeJson, i): FlatRange => {
    const region = regions[range.region];
    if (region === undefined) throw new RangeError(`ranges[${i}].region must be a place in regions`);
    const field = (name: "start" | "size" | "offset") => big(range[name], `ranges[${i}].${name}`);
    const flags = { readonly: range.readonly === true, romd: range.romd === true, log: range.log === true };
    return { start: field("start"), size: field("size"), offset: field("offset"), region, ...flags };
  });
  return FlatView.from(ranges);
}

/** Options of `kvmRegions`. */
export interface KvmRegionsOptions {
  /** 0 if not given. */
  readonly asId?: number | undefined;
  /** 12 if not given. */
  readonly pageShift?: number | undefined;
  /** 52 if not given. */
  readonly maxPhysAddrBits?: number | undefined;
  /** As `protectSections` of `FlatViews`; off if not given. */
  readonly protectSections?: boolean | undefined;
}

/**
 * The slots that a view needs, numbered from 0, ascending: what a VMM that has none yet is to create.
 * @throws RangeError naming a region whose memory lies beyond the width of an address; TypeError
 */
export function kvmRegions(view: FlatView, options: KvmRegionsOptions = {}): readonly Slot[] {
  const known = { asId: true, pageShift: true, maxPhysAddrBits: true, protectSections: true } as const;
  checkOptionNames<KvmRegionsOptions>(options, known);
  const { asId = 0, pageShift = 12, maxPhysAddrBits = 52, protectSections = false } = options;
  // Whose host it is for is not known: user addresses of 64-bit Arm reach 2^48, others further.
  const maxHost = Number.MAX_SAFE_INTEGER;
  for (const { region, start, size } of view.ranges) {
    const end = start + size;
    if (region.host === undefined || end <= 1n << BigInt(maxPhysAddrBits)) continue;
    const width = `2^${maxPhysAddrBits} (maxPhysAddrBits)`;
    throw new RangeError(`"${region.name}" must end at or below ${width}, not at 0x${end.toString(16)}`);
  }
  const { slots } = mappingOf(view, { pageShift, maxPhysAddrBits, protectSections, maxHost });
  return planList([], slots, asId, new SlotNumbers(slots.length)).list;
}

/** A list as an array of struct kvm_userspace_memory_region, which a C program hands to the ioctl one by one. */
export function encodeKvmRegions(list: readonly KvmRegion[]): Uint8Array {
  const bytes = new Uint8Array(list.length * KVM_USERSPACE_MEMORY_REGION_BYTES);
  list.forEach((region, i) => {
    bytes.set(encodeUserspaceMemoryRegion(region), i * KVM_USERSPACE_MEMORY_REGION_BYTES);
  });
  return bytes;
}
