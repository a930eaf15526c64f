/** The panels beside the picture: the list of updates, and the vCPUs. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { SlotTable } from "../../src/map/layouts.js";
import { flagNames, hexText, numberText, sizeText } from "../../src/replay/format.js";
import type { Slot } from "../../src/replay/gaps.js";
import { type Board, MODES, type Mode, type Reading } from "./board.js";
import type { PlayerState } from "./player.js";
import { useFrames } from "./readers.js";
import type { Timeline } from "./timeline.js";

const COUNT_MS = 200;

/** Text of an update: its sign, its slot, and its place. */
function entryText(update: Slot, before: SlotTable, timeline: Timeline) {
  const deletes = update.memorySize === 0;
  const old = before.get(update.slot);
  const [mapping] = timeline.mappingsOf([deletes ? { ...update, memorySize: old?.memorySize ?? 0 } : update]);
  const kind = deletes ? "delete" : old === undefined ? "create" : "flags";
  const { start, end, block, flags } = mapping!;
  return {
    sign: { delete: "−", create: "+", flags: "*" }[kind],
    kind: `${kind} slot ${update.slot & 0xffff}`,
    where: `${hexText(start)} – ${hexText(end)}`,
    what: [sizeText(end - start), block, ...flagNames(flags)].join(" "),
  };
}

export function CommitList({ state }: { state: PlayerState }) {
  const { timeline, step, entry, mode } = state;
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const now = list.current?.querySelector<HTMLElement>(".now");
    if (list.current && now) list.current.scrollTop = now.offsetTop - list.current.clientHeight / 2;
  }, [step, entry]);
  const next = timeline.steps[step];
  if (next === undefined) {
    return (
      <section class="card commit">
        <h2>The end</h2>
        <p class="quiet">All {timeline.steps.length} commits are done. Move the slider, or play again.</p>
      </section>
    );
  }
  let slots = timeline.layouts[step]!;
  const entries = next.updates.map((update) => {
    const text = entryText(update, slots, timeline);
    slots = new Map(slots);
    if (update.memorySize === 0) (slots as Map<number, Slot>).delete(update.slot);
    else (slots as Map<number, Slot>).set(update.slot, update);
    return text;
  });
  const done = mode === "list" ? "noted" : "published";
  return (
    <section class="card commit">
      <h2>
        Next: {next.name}
        <span class="count">
          {step + 1} of {timeline.steps.length}
        </span>
      </h2>
      <p class="cause">{next.cause}</p>
      <ol ref={list}>
        {entries.map(({ sign, kind, where, what }, index) => (
          <li key={index} class={index < entry ? done : index === entry ? "now" : ""}>
            <span class="sign">{sign}</span>
            <span class="kind">{kind}</span>
            <span class="state">{index < entry ? done : ""}</span>
            <span class="where">{where}</span>
            <span class="what">{what}</span>
          </li>
        ))}
      </ol>
      <p class={entry === next.updates.length ? "publish due" : "publish"}>
        {mode === "list" ? `then one store publishes all ${entries.length}` : "every update is a publication"}
      </p>
    </section>
  );
}

function useReadings(board: Board | undefined): readonly Reading[] {
  const [readings, setReadings] = useState<readonly Reading[]>([]);
  useFrames(() => {
    if (board) setReadings(Array.from({ length: board.buffers.vcpus }, (_, vcpu) => board.reading(vcpu)));
  }, COUNT_MS);
  return readings;
}

export function Vcpus({ board, mode }: { board: Board | undefined; mode: Mode }) {
  const readings = useReadings(board);
  if (board === undefined) return null;
  return (
    <section class="card vcpus">
      <h2>vCPUs</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">in a worker</th>
            <th scope="col">looks at</th>
            <th scope="col">hits</th>
            <th scope="col">misses</th>
          </tr>
        </thead>
        <tbody>
          {readings.map(({ gpa, counts }, vcpu) => {
            const { lookups, misses } = counts[mode];
            return (
              <tr key={vcpu}>
                <th scope="row">
                  <span class="dot">{vcpu}</span>
                </th>
                <td>{hexText(gpa)}</td>
                <td>{numberText(lookups - misses)}</td>
                <td class={misses > 0 ? "bad" : ""}>{numberText(misses)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

const WORDS: Readonly<Record<Mode, { name: string; note: string }>> = {
  oneByOne: { name: "One by one", note: "Every update is published by itself, as KVM’s ioctl does it." },
  list: { name: "As a list", note: "A commit is noted update by update, and published by one store." },
};

/** The switch between the two ways, with the counts of each so far. */
export function ModeSwitch({
  mode,
  board,
  setMode,
}: {
  mode: Mode;
  board: Board | undefined;
  setMode(mode: Mode): void;
}) {
  const readings = useReadings(board);
  return (
    <fieldset class="modes">
      <legend>How a commit is made</legend>
      {MODES.map((each) => {
        const sum = (field: "lookups" | "misses") =>
          readings.reduce((total, { counts }) => total + counts[each][field], 0);
        return (
          <label key={each} class={each === mode ? "mode chosen" : "mode"}>
            <input
              type="radio"
              name="mode"
              value={each}
              checked={each === mode}
              onChange={() => setMode(each)}
            />
            <span class="name">{WORDS[each].name}</span>
            <span class="note">{WORDS[each].note}</span>
            {board && (
              <span class="score">
                <strong data-misses={each} class={sum("misses") > 0 ? "bad" : ""}>
                  {numberText(sum("misses"))}
                </strong>{" "}
                misses
                <span class="quiet" data-lookups={each}>
                  in {numberText(sum("lookups"))} lookups
                </span>
              </span>
            )}
          </label>
        );
      })}
    </fieldset>
  );
}
