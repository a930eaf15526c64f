/** A piece of guest memory as the core finds it: the bytes around a guest address to which one thing responds alike. */
import { damaged } from "../core/damage.js";
import {
  PIECE_AS_ID_OFFSET,
  PIECE_DEVICE,
  PIECE_DEVICE_OFFSET,
  PIECE_END_OFFSET,
  PIECE_FLAGS_OFFSET,
  PIECE_KIND_OFFSET,
  PIECE_MEMORY,
  PIECE_NO_ACCESS,
  PIECE_ORIGIN_OFFSET,
  PIECE_READ_ONLY,
  PIECE_START_OFFSET,
  PIECE_TARGET_OFFSET,
} from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import type { GuestHoleKind } from "../kvm/errordetails.js";
import { KVM_MEM_LOG_DIRTY_PAGES } from "../kvm/uapi.js";
import type { Piece } from "./target.js";

const PIECE_END = PIECE_AS_ID_OFFSET + 4;

/** One object for many lookups: each `find` replaces what it holds. */
export class FoundPiece implements Piece {
  /** Why a guest cannot access the bytes as it wants, or what does it. */
  kind: "memory" | GuestHoleKind = "no-slot";
  /** Guest bytes [start, end). Of a hole they end with windows and attributes, and slots may begin before. */
  start = 0;
  end = 0;
  // The others are those of memory and devices only.
  /** What `start` is there: the host address, or the byte of the device's registers. */
  target = 0;
  /** From here to the bytes that a mirror shows; 0 without one. */
  distance = 0;
  /** The address space of those. */
  asId = 0;
  /** Number of the device. */
  device = 0;
  /** Memory of which stores mark their page dirty. */
  logged = false;

  /**
   * The piece around byte `gpa` for an access READ, WRITE or FETCH, in the layout that the line has pinned.
   * @throws KvmError EIO if the layout is damaged
   */
  find({ wasm, views }: Thread, reader: number, asId: number, gpa: number, access: number): this {
    const place = wasm.pieceAt(reader, asId, gpa, access) >>> 0;
    const words = views.words(place + PIECE_END);
    // By indices that V8 sees to be integers: of a division it would have to find out.
    const at = place >>> 2;
    this.kind = kindOf(words[at + (PIECE_KIND_OFFSET >>> 2)]!);
    this.start = u64At(words, at + (PIECE_START_OFFSET >>> 2));
    this.end = u64At(words, at + (PIECE_END_OFFSET >>> 2));
    this.target = u64At(words, at + (PIECE_TARGET_OFFSET >>> 2));
    this.distance = u64At(words, at + (PIECE_ORIGIN_OFFSET >>> 2)) - this.start;
    this.asId = words[at + (PIECE_AS_ID_OFFSET >>> 2)]!;
    this.device = words[at + (PIECE_DEVICE_OFFSET >>> 2)]!;
    this.logged = (words[at + (PIECE_FLAGS_OFFSET >>> 2)]! & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
    // A piece without the byte that was asked for would be asked for again and again.
    if ((this.kind === "memory" || this.kind === "device") && (this.start > gpa || this.end <= gpa)) {
      throw damaged("guestMemory", `a piece at ${this.start} for the byte ${gpa}`);
    }
    return this;
  }
}

function kindOf(kind: number): FoundPiece["kind"] {
  if (kind === PIECE_MEMORY) return "memory";
  if (kind === PIECE_DEVICE) return "device";
  if (kind === PIECE_READ_ONLY) return "read-only";
  return kind === PIECE_NO_ACCESS ? "no-access" : "no-slot";
}

function u64At(words: Uint32Array, at: number): number {
  return words[at]! + words[at + 1]! * 2 ** 32;
}
