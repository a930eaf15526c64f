/**
 * A random tree of regions of all kinds, edited at random, and the painter that says who answers for a byte: it knows
 * neither ranges nor clips, and asks the regions one by one from the top.
 */
import { MemoryRegion } from "memslots/flatview";
import type { Random } from "./random.js";

/** Most units of a size, an address or an offset. */
export const SPAN = 64;

export interface Answer {
  region: MemoryRegion;
  offset: bigint;
  readonly: boolean;
}

/** The region that owns byte `at` of the bytes that `region` spans: a walk from the top. */
export function paint(region: MemoryRegion, at: bigint, readonly = false): Answer | undefined {
  if (!region.enabled || at < 0n || at >= region.size) return undefined;
  const refuses = readonly || region.readonly;
  if (region.target !== undefined) return paint(region.target, at + region.targetOffset, refuses);
  for (const child of region.subregions) {
    const answer = paint(child, at - child.address, refuses);
    if (answer !== undefined) return answer;
  }
  return region.kind === "container" ? undefined : { region, offset: at, readonly: refuses };
}

/** A tree whose regions are all reachable for edits; every leaf has its own host memory or device. */
export class RegionWorld {
  readonly root = MemoryRegion.container("root", 2n ** 64n);
  readonly regions: MemoryRegion[] = [this.root];
  #made = 0;
  readonly #rng: Random;
  readonly #unit: number;

  /** @param unit bytes: sizes, addresses and offsets are multiples */
  constructor(rng: Random, unit = 1) {
    this.#rng = rng;
    this.#unit = unit;
  }

  #size(): number {
    return this.#unit * (1 + this.#rng.int(SPAN));
  }

  #place(): number {
    return this.#unit * this.#rng.int(SPAN);
  }

  #leaf(): MemoryRegion {
    const rng = this.#rng;
    const [name, size] = [`r${this.#made}`, this.#size()];
    const host = ++this.#made * 0x1_0000;
    const kind = rng.int(6);
    if (kind === 0) return MemoryRegion.container(name, rng.chance(0.2) ? 2n ** 64n : size);
    if (kind === 1) return MemoryRegion.rom(name, size, host);
    if (kind === 2) return MemoryRegion.romDevice(name, size, host, this.#made);
    if (kind === 3) return MemoryRegion.io(name, size, this.#made);
    const target = rng.pick(this.regions);
    if (kind === 4 && target !== this.root) return MemoryRegion.alias(name, target, this.#place(), size);
    return MemoryRegion.ram(name, size, host);
  }

  /** One edit. @throws RangeError for an alias that would show itself; then nothing has changed */
  edit(): void {
    const rng = this.#rng;
    const region = rng.pick(this.regions);
    const what = rng.int(10);
    if (what <= 2 || region === this.root) {
      const child = this.#leaf();
      rng.pick(this.regions).addSubregion(this.#place(), child, rng.int(3) - 1);
      this.regions.push(child);
    } else if (what === 3) region.setEnabled(rng.chance(0.7));
    else if (what === 4) region.setSize(this.#size());
    else if (what === 5 && region.container !== undefined) region.setAddress(this.#place());
    else if (what === 6 && region.kind === "alias") region.setTargetOffset(this.#place());
    else if (what === 7 && region.kind === "romDevice") region.setRomd(rng.chance(0.5));
    else if (what === 7 && region.kind !== "rom") region.setReadonly(rng.chance(0.5));
    else if (what === 8 && rng.chance(0.3)) region.container?.delSubregion(region);
    else if (what === 9) region.setLog(rng.chance(0.5));
  }

  /** One edit; one that the tree refuses is none. */
  tryEdit(): void {
    try {
      this.edit();
    } catch (error) {
      if (!(error instanceof RangeError && /must not lie in itself/.test(error.message))) throw error;
    }
  }
}
