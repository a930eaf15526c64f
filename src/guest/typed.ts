/**
 * Typed accesses off the hot path: stores outside of sections, of a run that is not at hand, of a device, over several
 * runs, of a hole. The value is in the scratch bytes, where the accessor puts it or takes it from.
 *
 *   one run of memory          done while the layout is pinned
 *   one device                 called outside of the section
 *   several of these, holes    memory first, in one layout; then each device, and `onHole`, ascending
 */
import type { GuestHoleKind } from "../kvm/errordetails.js";
import { resumeSection, suspendSection } from "../read/section.js";
import { type GuestAccess, toGpa } from "./access.js";
import { accessDevice, isPlain } from "./devices.js";
import { MEMORY, NO_RUN, type Run } from "./runs.js";
import { getValue, move, setValue } from "./scratch.js";
import { type CopyPiece, FETCH, READ, WRITE } from "./target.js";

const SCRATCH_BYTES = 8;

/** A part of an access. */
interface Part {
  gpa: number;
  bytes: number;
  /** Memory or a device; undefined for a hole. */
  run: Run | undefined;
  /** Why it is a hole. */
  kind: GuestHoleKind;
}

export class TypedAccess {
  readonly scratch = new DataView(new ArrayBuffer(SCRATCH_BYTES));
  /** The last run of memory that a fetch has found. */
  code = NO_RUN;
  /** Called when the access has found something to load from, or to store to: the hot path sees it from then on. */
  onLoad: () => void = () => {};
  onStore: () => void = () => {};
  readonly #access: GuestAccess;

  constructor(access: GuestAccess) {
    this.#access = access;
  }

  #found(kind: number): void {
    if (kind === WRITE) this.onStore();
    else this.onLoad();
  }

  /** A block is done up to its hole, if it has one. @returns `done` */
  block(op: string, address: number, bytes: number, done: number, write: boolean): number {
    this.#found(write ? WRITE : READ);
    const at = toGpa(address) + done;
    if (done < bytes) this.#access.report(op, at, bytes - done, at, write, 0);
    return done;
  }

  /**
   * `near` is the run that the table has, which is all it takes outside of sections. In one piece on purpose: V8
   * inlines no function of more than 460 bytecodes, and an accessor that had this inlined would be too long to be
   * inlined itself, at twice the cost of the hot path.
   */
  access(op: string, address: number, bytes: number, kind: number, near: Run, littleEndian = false): void {
    const gpa = toGpa(address);
    const access = this.#access;
    let at = gpa - near.gpa;
    if (
      near.device !== MEMORY &&
      access.section.layout === access.layout &&
      at >= 0 &&
      at + bytes <= near.size
    ) {
      this.#device(op, gpa, bytes, kind, near, this.scratch, littleEndian);
      return;
    }
    let run: Run | undefined = near;
    let parts: Part[] | undefined;
    const known = access.begin();
    try {
      if (!(known && at >= 0 && at + bytes <= near.size)) {
        run = access.find(gpa, kind);
        if (run !== undefined) at = gpa - run.gpa;
        this.#found(kind);
      } else if (!access.opened) {
        this.#found(kind);
      }
      if (run !== undefined && at + bytes <= run.bytes.length) {
        if (kind === FETCH && !run.watched) this.code = run;
        if (kind !== WRITE) {
          move(run.view, at, this.scratch, 0, bytes);
        } else if (!run.logged) {
          move(this.scratch, 0, run.view, at, bytes);
        } else {
          const kept = access.keepLogged(gpa, bytes, run);
          move(this.scratch, 0, run.view, at, bytes);
          if (!kept) access.mark(gpa, bytes, run);
          this.#found(kind);
        }
        if (!run.watched) return;
      } else if (run === undefined || run.device === MEMORY || at + bytes > run.size) {
        parts = this.#parts(gpa, bytes, kind);
        if (parts.every((part) => part.run?.device === MEMORY))
          this.#transfer(gpa, bytes, kind, this.scratch);
        this.#found(kind);
      }
    } finally {
      access.end();
    }
    if (parts !== undefined) this.#split(op, gpa, bytes, kind, parts, littleEndian);
    else if (run!.device !== MEMORY) this.#device(op, gpa, bytes, kind, run!, this.scratch, littleEndian);
    if (access.target.watches !== undefined) this.#tell(gpa, bytes, kind, run, parts, littleEndian);
  }

  /** An access to memory of several runs: bytes [gpa, gpa + bytes) are those of `data`. */
  #transfer(gpa: number, bytes: number, kind: number, data: DataView): void {
    const all = new Uint8Array(data.buffer, data.byteOffset, bytes);
    const copy: CopyPiece = (run, at, count, done) => {
      if (kind === WRITE) run.bytes.set(all.subarray(done, done + count), at);
      else all.set(run.bytes.subarray(at, at + count), done);
    };
    this.#access.transfer(gpa, bytes, kind, copy, false);
  }

  /** What responds to each part of an access; neighbours that are holes of one kind are one. */
  #parts(gpa: number, bytes: number, kind: number): Part[] {
    const access = this.#access;
    const parts: Part[] = [];
    for (let done = 0; done < bytes; ) {
      const from = gpa + done;
      const run = access.find(from, kind);
      const size = run === undefined ? 1 : run.device === MEMORY ? run.bytes.length : run.size;
      const count = run === undefined ? 1 : Math.min(bytes - done, run.gpa + size - from);
      const last = parts.at(-1);
      if (run === undefined && last !== undefined && last.run === undefined && last.kind === access.kind) {
        last.bytes += count;
      } else {
        parts.push({ gpa: from, bytes: count, run, kind: access.kind });
      }
      done += count;
    }
    return parts;
  }

  /**
   * Without devices, and where one part is a hole that nobody handles, the access is one hole and nothing of it is
   * done; else each part goes to what responds to it.
   */
  #split(op: string, gpa: number, bytes: number, kind: number, parts: Part[], littleEndian: boolean): void {
    const access = this.#access;
    const { target } = access;
    if (parts.every(({ run }) => run?.device === MEMORY)) return;
    const { devices } = target;
    const first =
      devices === undefined || target.onHole === undefined
        ? parts.find(({ run }) => run === undefined || (run.device !== MEMORY && !devices?.[run.device]))
        : undefined;
    if (first !== undefined) {
      const { run } = first;
      if (run === undefined) access.missed(first.kind);
      else access.missed("device", run.device, run.offset + (first.gpa - run.gpa));
      if (parts.length > 1 && parts.some((part) => part.run !== undefined)) access.kind = "crosses";
      this.#hole(op, gpa, bytes, kind, this.scratch, littleEndian, first.gpa);
      return;
    }
    // Handlers may make accesses of their own: theirs are in the scratch bytes then.
    const data = new DataView(this.scratch.buffer.slice(0));
    const memory = parts.filter(({ run }) => run?.device === MEMORY);
    if (memory.length > 0) {
      access.begin();
      try {
        for (const part of memory) this.#transfer(part.gpa, part.bytes, kind, partOf(data, part, gpa));
      } finally {
        access.end();
      }
    }
    for (const part of parts) {
      const { run } = part;
      if (run?.device === MEMORY) continue;
      const own = partOf(data, part, gpa);
      if (run !== undefined) this.#device(op, part.gpa, part.bytes, kind, run, own, littleEndian);
      else {
        access.missed(part.kind);
        this.#hole(op, part.gpa, part.bytes, kind, own, littleEndian);
      }
    }
    if (kind !== WRITE) this.scratch.setBigUint64(0, data.getBigUint64(0));
  }

  /** An access to one device, whose bytes are those of `data`. */
  #device(
    op: string,
    gpa: number,
    bytes: number,
    kind: number,
    run: Run,
    data: DataView,
    littleEndian: boolean,
  ): void {
    const access = this.#access;
    const { section, target } = access;
    const device = target.devices?.[run.device];
    const offset = run.offset + (gpa - run.gpa);
    if (device !== undefined) {
      if (device !== run.target) {
        run.plain = isPlain(device);
        run.target = device;
      }
      const open = suspendSection(section);
      try {
        if (run.plain && (bytes & (bytes - 1)) === 0) {
          if (kind === WRITE) device.write(offset, bytes, getValue(data, bytes, littleEndian), littleEndian);
          else setValue(data, bytes, device.read(offset, bytes, littleEndian), littleEndian);
          return;
        }
        if (accessDevice(device, offset, bytes, kind === WRITE, data, littleEndian)) return;
      } finally {
        resumeSection(section, open);
      }
    }
    access.missed("device", run.device, offset);
    this.#hole(op, gpa, bytes, kind, data, littleEndian);
  }

  #hole(
    op: string,
    gpa: number,
    bytes: number,
    kind: number,
    data: DataView,
    littleEndian: boolean,
    at = gpa,
  ): void {
    const write = kind === WRITE;
    const value = write ? getValue(data, bytes, littleEndian) : 0;
    const answer = this.#access.report(op, gpa, bytes, at, write, value);
    if (!write) setValue(data, bytes, answer, littleEndian);
  }

  /** Note an access that may be watched, and call the handlers. */
  #tell(
    gpa: number,
    bytes: number,
    kind: number,
    run: Run | undefined,
    parts: readonly Part[] | undefined,
    littleEndian: boolean,
  ): void {
    const access = this.#access;
    const { scratch } = this;
    if (parts === undefined && run?.watched !== true) return;
    const places = parts ?? [{ gpa, bytes, run }];
    const originals = places.flatMap((place) => access.originals(place.gpa, place.bytes, place.run));
    access.target.watches!.note(gpa, bytes, kind, getValue(scratch, bytes, littleEndian), originals);
    // A handler may make accesses of its own.
    const kept = scratch.getBigUint64(0);
    access.tell();
    scratch.setBigUint64(0, kept);
  }
}

function partOf(data: DataView, { gpa, bytes }: Part, start: number): DataView {
  return new DataView(data.buffer, gpa - start, bytes);
}
