/**
 * A map for other programs: as a QEMU monitor would print it, and as the slots that a VMM is to make.
 *
 * Slots that the map knows keep their numbers and borders. A map without slots (of an mtree dump) gets those that
 * QEMU would make: whole pages, joined where they continue each other, numbered from 0 in each address space; as
 * behind KVM, RAM that only a section of it protects is not READONLY.
 */
import {
  type FlatRange,
  FlatView,
  formatMtree,
  kvmRegions,
  MemoryRegion,
  type MtreeView,
} from "../flatview/index.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../kvm/uapi.js";
import type { Slot } from "../replay/gaps.js";
import { BlockLayout } from "../trace/blocks.js";
import { bytesOf, HOST, type Mapping, type MemoryMap, spacesOf } from "./memorymap.js";
import { KVM_SPACES } from "./mtreedump.js";

/** A slot, and its dirty log where that is known. */
export interface ExportedSlot extends Slot {
  readonly dirty?: Uint8Array;
}

/** Host address of the first byte of each block. */
export type Hosts = ReadonlyMap<string, number>;

/** Of all blocks in order of appearance: as given, or one behind the other. @throws RangeError naming the block */
export function hostsOf({ mappings, hosts: told }: MemoryMap, given: Hosts): Hosts {
  const ends = new Map<string, number>();
  for (const { kind, block, off, start, end } of mappings) {
    if (kind === "ram") ends.set(block, Math.max(ends.get(block) ?? 0, off + end - start));
  }
  const unknown = [...given.keys()].find((name) => !ends.has(name));
  if (unknown !== undefined) throw new RangeError(`there is no RAM block "${unknown}"`);
  const layout = new BlockLayout();
  const hosts = new Map<string, number>();
  for (const [name, bytes] of ends) {
    const host = given.get(name) ?? (name === HOST ? 0 : told?.get(name));
    if (host === undefined && !layout.add(name, bytes)) {
      throw new RangeError(`block "${name}" of 0x${bytes.toString(16)} bytes: address space is full`);
    }
    if (host !== undefined && host + bytes > Number.MAX_SAFE_INTEGER) {
      throw new RangeError(`block "${name}" must end below 2^53, not at 0x${(host + bytes).toString(16)}`);
    }
    hosts.set(name, host ?? layout.hva(name, 0));
  }
  return hosts;
}

/** The map as text of `info mtree -f`, a view for each address space. It tells neither slots nor logging. */
export function mtreeText(map: MemoryMap): string {
  const views = viewsOf(map).map(([asId, view]): MtreeView => {
    const { name, root } = KVM_SPACES[asId] ?? { name: `memory-${asId}`, root: `system-${asId}` };
    return { number: asId, spaces: [{ name, root }], root, view, kvm: true };
  });
  return formatMtree(views);
}

/**
 * The slots of the map, ascending in each address space. A map that has none gets those of a host with pages of 2 to
 * the power of `pageShift` bytes.
 * @throws RangeError as hostsOf
 */
export function slotsOf(map: MemoryMap, given: Hosts, pageShift = 12): ExportedSlot[] {
  const hosts = hostsOf(map, given);
  const memory = map.mappings.filter(({ kind }) => kind === "ram");
  if (memory.every(({ slot }) => slot !== undefined)) return memory.map((mapping) => slotOf(mapping, hosts));
  return viewsOf(map, hosts).flatMap(([asId, view]) => [...kvmRegions(view, { asId, pageShift })]);
}

function slotOf(mapping: Mapping, hosts: Hosts): ExportedSlot {
  const { slot, flags, start, end, block, off, dirty, guestMemfd, guestMemfdOffset } = mapping;
  return {
    slot: slot!,
    flags,
    guestPhysAddr: start,
    memorySize: end - start,
    userspaceAddr: hosts.get(block)! + off,
    ...(guestMemfd !== undefined && { guestMemfd, guestMemfdOffset: guestMemfdOffset ?? 0 }),
    ...(dirty !== undefined && { dirty }),
  };
}

/** The address spaces. One region for each name, as parseMtree makes them of a text. */
function viewsOf({ mappings }: MemoryMap, hosts: Hosts = new Map()): [number, FlatView][] {
  const named = new Map<string, Mapping[]>();
  for (const mapping of mappings) {
    const known = named.get(mapping.block);
    if (known === undefined) named.set(mapping.block, [mapping]);
    else known.push(mapping);
  }
  const regions = new Map<string, MemoryRegion>();
  const regionOf = (name: string): MemoryRegion => {
    const known = regions.get(name);
    if (known !== undefined) return known;
    const made = makeRegion(name, named.get(name)!, regions.size, hosts.get(name) ?? 0);
    regions.set(name, made);
    return made;
  };
  const rangeOf = (mapping: Mapping): FlatRange => {
    const region = regionOf(mapping.block);
    const romd = region.kind === "romDevice" && mapping.kind === "ram";
    return {
      start: BigInt(mapping.start),
      size: BigInt(bytesOf(mapping)),
      offset: BigInt(mapping.off),
      region,
      readonly: !romd && (mapping.flags & KVM_MEM_READONLY) !== 0,
      romd,
      log: (mapping.flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0,
    };
  };
  return spacesOf(mappings).map(([asId, own]) => [asId, FlatView.from(own.map(rangeOf))]);
}

/** Memory and a device of one name are flash, in its readable mode and not. */
function makeRegion(block: string, all: readonly Mapping[], device: number, host: number): MemoryRegion {
  const size = all.reduce((most, mapping) => Math.max(most, mapping.off + bytesOf(mapping)), 0);
  const memory = all.filter(({ kind }) => kind === "ram");
  const name = block === HOST ? "host" : block;
  if (memory.length === 0) return MemoryRegion.io(name, size, device);
  if (memory.some(({ flags }) => (flags & KVM_MEM_READONLY) === 0)) return MemoryRegion.ram(name, size, host);
  if (memory.length < all.length) return MemoryRegion.romDevice(name, size, host, device);
  return MemoryRegion.rom(name, size, host);
}
