/**
 * The picture: the active layout at the left, the inactive one at the right, the host memory, which neither of them
 * moves, in the middle. A narrow page leaves the middle out.
 */
import { useMemo } from "preact/hooks";
import {
  type BlockFold,
  blockFolds,
  type Column,
  endOf,
  guestColumn,
  guestFold,
  hostColumn,
  patterns,
  ribbons,
} from "../../src/map/drawing.js";
import type { Fold } from "../../src/map/fold.js";
import type { SlotTable } from "../../src/map/layouts.js";
import { asIdsOf, inOrder, type Mapping } from "../../src/map/memorymap.js";
import { hexText, sizeText } from "../../src/replay/format.js";
import type { Board } from "./board.js";
import { type Hole, holeIn, keptBetween } from "./holes.js";
import type { DirtyLog } from "./machine.js";
import { draftOf, type PlayerState } from "./player.js";
import { Readers } from "./readers.js";
import type { Timeline } from "./timeline.js";

/** Least width for the host memory. */
const WIDE = 600;
const HEAD = 52;
const SPACE_GAP = 40;

interface Geometry {
  readonly width: number;
  readonly height: number;
  readonly axis: number;
  readonly active: Column;
  readonly host: Column | undefined;
  readonly inactive: Column;
  readonly spaces: readonly {
    readonly asId: number;
    readonly fold: Fold;
    readonly blocks: readonly BlockFold[];
  }[];
}

function geometryOf(extent: readonly Mapping[], width: number): Geometry {
  const wide = width >= WIDE;
  const axis = wide ? 82 : 70;
  const x = axis + (wide ? 26 : 20);
  const host = wide ? Math.min(150, width * 0.15) : 0;
  const ribbon = wide ? Math.min(130, width * 0.12) : 3;
  const column = (width - x - host - 2 * ribbon - 1) / 2;
  let at = HEAD;
  let height = HEAD;
  const spaces = asIdsOf(extent).map((asId) => {
    const own = extent.filter((mapping) => mapping.asId === asId);
    const fold = guestFold(own, at);
    const blocks = wide ? blockFolds(own, at - 20) : blockFolds(own, at);
    height = Math.max(fold.end, wide ? endOf(blocks) : 0);
    at = height + SPACE_GAP;
    return { asId, fold, blocks };
  });
  return {
    width,
    height: height + 8,
    axis: axis - 4,
    active: { x, width: column },
    host: wide ? { x: x + column + ribbon, width: host } : undefined,
    inactive: { x: width - column - 1, width: column },
    spaces,
  };
}

function same(a: Mapping, b: Mapping): boolean {
  return (
    a.start === b.start && a.end === b.end && a.block === b.block && a.off === b.off && a.flags === b.flags
  );
}

/** Outlines of the slots that only one of the layouts has. */
function Changes(props: {
  mappings: readonly Mapping[];
  others: readonly Mapping[];
  fold: Fold;
  column: Column;
  sign: string;
}) {
  const { mappings, others, fold, column, sign } = props;
  return (
    <g class="changes">
      {mappings
        .filter((mapping) => !others.some((other) => same(mapping, other)))
        .map(({ start, end }) => {
          const y = fold.place(start);
          return (
            <g key={`${start} ${end}`}>
              <rect x={column.x} y={y} width={column.width} height={fold.place(end) - y} rx={2} />
              <text x={column.x + column.width - 9} y={y + 3} class="sign">
                {sign}
              </text>
            </g>
          );
        })}
    </g>
  );
}

function Missing({ hole, asId, fold, column }: { hole: Hole; asId: number; fold: Fold; column: Column }) {
  return (
    <g class="missing">
      {hole.ranges
        .filter((range) => range.asId === asId)
        .map(({ start, end }) => {
          const y = fold.place(start);
          const height = fold.place(end) - y;
          const words = column.width > 150 ? `${sizeText(end - start)} missing` : "missing";
          return (
            <g key={start}>
              <title>{`${hexText(start)} – ${hexText(end)} is mapped before and after this commit, and not now`}</title>
              <rect x={column.x} y={y} width={column.width} height={height} rx={2} fill="url(#missing)" />
              <text x={column.x + column.width / 2} y={y + height / 2 + 4} class="middle strong">
                {words}
              </text>
            </g>
          );
        })}
    </g>
  );
}

export interface StageProps {
  readonly state: PlayerState;
  readonly board: Board | undefined;
  readonly dirty: readonly DirtyLog[];
  readonly width: number;
}

export function Stage({ state, board, dirty, width }: StageProps) {
  const { timeline, machine, step, mode, entry } = state;
  const geometry = useMemo(() => geometryOf(timeline.extent, width), [timeline, width]);
  const layouts = useMemo(() => layoutsNow(state, dirty), [state, dirty]);
  const { active, inactive, hole } = layouts;
  const updates = timeline.steps[step]?.updates.length ?? 0;
  const progress =
    updates === 0
      ? "the last commit is done"
      : mode === "list"
        ? `${entry} of ${updates} updates noted`
        : entry < updates
          ? `update ${entry + 1} of ${updates}`
          : "all updates made";
  return (
    <svg
      class="map stage"
      width={width}
      height={geometry.height}
      viewBox={`0 0 ${width} ${geometry.height}`}
      role="img"
    >
      <title>{describe(state, active, hole)}</title>
      {patterns()}
      <defs>
        <pattern id="missing" width="8" height="8" patternUnits="userSpaceOnUse">
          <path d="M-1,1 l2,-2 M0,8 l8,-8 M7,9 l2,-2 M-1,7 l2,2 M0,0 l8,8 M7,-1 l2,2" class="cross" />
        </pattern>
      </defs>
      <Head column={geometry.active} name="active" note={`generation ${machine.generation}`} />
      <Head column={geometry.inactive} name="inactive" note={progress} />
      {geometry.spaces.map(({ asId, fold, blocks }) => {
        const own = (mappings: readonly Mapping[]) => mappings.filter((mapping) => mapping.asId === asId);
        const [now, next] = [own(active), own(inactive)];
        const { host } = geometry;
        const edge = geometry.active.x + geometry.active.width;
        return (
          <g key={asId}>
            {host && ribbons(now, fold, blocks, edge, host.x)}
            {host && ribbons(next, fold, blocks, geometry.inactive.x, host.x + host.width)}
            {host && hostColumn(blocks, host)}
            {guestColumn({
              fold,
              mappings: now,
              blocks,
              column: geometry.active,
              axis: geometry.axis,
              taken: hole.ranges,
            })}
            {guestColumn({ fold, mappings: next, blocks, column: geometry.inactive })}
            <Changes mappings={now} others={next} fold={fold} column={geometry.active} sign="−" />
            <Changes mappings={next} others={now} fold={fold} column={geometry.inactive} sign="+" />
            <Missing hole={hole} asId={asId} fold={fold} column={geometry.active} />
          </g>
        );
      })}
      {board && (
        <Readers board={board} fold={geometry.spaces[0]!.fold} x={geometry.axis + 4} to={geometry.active.x} />
      )}
    </svg>
  );
}

function Head({ column, name, note }: { column: Column; name: string; note: string }) {
  return (
    <g>
      <text x={column.x} y={14} class="head">
        {name}
      </text>
      <text x={column.x} y={30} class="quiet">
        {note}
      </text>
    </g>
  );
}

function describe({ timeline, step }: PlayerState, active: readonly Mapping[], { bytes }: Hole): string {
  const where = step === 0 ? "before its first commit" : `after ${timeline.steps[step - 1]!.name}`;
  const missing = bytes === 0 ? "" : `, ${sizeText(bytes)} missing`;
  return `Memory map of ${timeline.title} ${where}: ${active.length} ranges${missing}`;
}

/** Windows, which are drawn in both layouts: they have no slot. */
function layoutsNow(state: PlayerState, dirty: readonly DirtyLog[]) {
  const { timeline, step, machine } = state;
  const windows = windowsAt(timeline, step);
  const logs = new Map(dirty.map(({ slot, log }) => [slot, log]));
  const active = timeline
    .mappingsOf(machine.slots)
    .map((mapping) => withLog(mapping, logs.get(mapping.slot!)));
  const after: SlotTable = timeline.layouts[step + 1] ?? timeline.layouts[step]!;
  const kept = keptBetween(timeline.layouts[step]!.values(), after.values());
  return {
    active: inOrder([...active, ...windows]),
    inactive: inOrder([...timeline.mappingsOf(draftOf(state)), ...windows]),
    hole: holeIn(kept, machine.slots),
  };
}

function withLog(mapping: Mapping, log: Uint8Array | undefined): Mapping {
  const pages = (mapping.end - mapping.start) / 0x1000;
  return log !== undefined && log.length * 8 >= pages ? { ...mapping, dirty: log } : mapping;
}

function windowsAt({ steps }: Timeline, step: number): readonly Mapping[] {
  return steps[step - 1]?.windows ?? [];
}
