/**
 * A map for other programs: as a QEMU monitor would print it, and as the slots that a VMM is to make.
 *
 * Slots that the map knows keep their numbers and borders. A map without slots (of an mtree dump) gets those that
 * QEMU would make: whole pages, joined where they continue each other, numbered from 0 in each address space; as
 * behind KVM, RAM that only a section of it protects is not READONLY.
 */
import { FlatView, formatMtree, kvmRegions, MemoryRegion, type MtreeView } from "../flatview/index.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX } from "../uapi.js";
import { BlockLayout } from "./blocks.js";
import { asIdsOf, bytesOf, HOST, type Mapping, type MemoryMap } from "./memorymap.js";
import { KVM_SPACES } from "./mtreedump.js";
import type { Slot } from "./windows.js";

/** A slot, and its dirty log where that is known. */
export interface ExportedSlot extends Slot {
  readonly dirty?: Uint8Array;
}

/** Host address of the first byte of each block. */
export type Hosts = ReadonlyMap<string, number>;

/** Of all blocks in order of appearance: as given, or one behind the other. @throws RangeError naming the block */
export function hostsOf({ mappings }: MemoryMap, given: Hosts): Hosts {
  const ends = new Map<string, number>();
  for (const { kind, block, off, start, end } of mappings) {
    if (kind === "ram") ends.set(block, Math.max(ends.get(block) ?? 0, off + end - start));
  }
  const unknown = [...given.keys()].find((name) => !ends.has(name));
  if (unknown !== undefined) throw new RangeError(`there is no RAM block "${unknown}"`);
  const layout = new BlockLayout();
  const hosts = new Map<string, number>();
  for (const [name, bytes] of ends) {
    const host = given.get(name) ?? (name === HOST ? 0 : undefined);
    if (host === undefined && !layout.add(name, bytes)) {
      throw new RangeError(`block "${name}" of 0x${bytes.toString(16)} bytes: address space is full`);
    }
    if (host !== undefined && host + bytes > TASK_SIZE_MAX) {
      throw new RangeError(
        `block "${name}" must end below TASK_SIZE_MAX, not at 0x${(host + bytes).toString(16)}`,
      );
    }
    hosts.set(name, host ?? layout.hva(name, 0));
  }
  return hosts;
}

/** The map as text of `info mtree -f`, a view for each address space. It tells neither slots nor logging. */
export function mtreeText(map: MemoryMap): string {
  const views = asIdsOf(map.mappings).map((asId): MtreeView => {
    const { name, root } = KVM_SPACES[asId] ?? { name: `memory-${asId}`, root: `system-${asId}` };
    return { number: asId, spaces: [{ name, root }], root, view: viewOf(map, asId), kvm: true };
  });
  return formatMtree(views);
}

/** The slots of the map, ascending in each address space. @throws RangeError as hostsOf */
export function slotsOf(map: MemoryMap, given: Hosts): ExportedSlot[] {
  const hosts = hostsOf(map, given);
  const memory = map.mappings.filter(({ kind }) => kind === "ram");
  if (memory.every(({ slot }) => slot !== undefined)) return memory.map((mapping) => slotOf(mapping, hosts));
  return asIdsOf(memory).flatMap((addressSpace) => [
    ...kvmRegions(viewOf(map, addressSpace, hosts), { addressSpace }),
  ]);
}

function slotOf({ slot, flags, start, end, block, off, dirty }: Mapping, hosts: Hosts): ExportedSlot {
  return {
    slot: slot!,
    flags,
    guestPhysAddr: start,
    memorySize: end - start,
    userspaceAddr: hosts.get(block)! + off,
    ...(dirty !== undefined && { dirty }),
  };
}

/** One region for each name, as parseMtree makes them of a text. */
function viewOf({ mappings }: MemoryMap, asId: number, hosts: Hosts = new Map()): FlatView {
  const regions = new Map<string, MemoryRegion>();
  const regionOf = (name: string): MemoryRegion => {
    const known = regions.get(name);
    if (known !== undefined) return known;
    const all = mappings.filter(({ block }) => block === name);
    const made = makeRegion(name, all, regions.size, hosts.get(name) ?? 0);
    regions.set(name, made);
    return made;
  };
  const own = mappings.filter((mapping) => mapping.asId === asId);
  return FlatView.from(
    own.map((mapping) => {
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
    }),
  );
}

/** Memory and a device of one name are flash, in its readable mode and not. */
function makeRegion(name: string, all: readonly Mapping[], device: number, host: number): MemoryRegion {
  const size = Math.max(...all.map((mapping) => mapping.off + bytesOf(mapping)));
  const memory = all.filter(({ kind }) => kind === "ram");
  if (memory.length === 0) return MemoryRegion.io(name, size, device);
  if (memory.some(({ flags }) => (flags & KVM_MEM_READONLY) === 0)) return MemoryRegion.ram(name, size, host);
  if (memory.length < all.length) return MemoryRegion.romDevice(name, size, host, device);
  return MemoryRegion.rom(name, size, host);
}
