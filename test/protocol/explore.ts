/**
 * The search: every state that any interleaving leads to, breadth first, so that the first violation found is
 * one with the fewest steps. Afterwards, backwards from the end: from every state there must be a way to it.
 */
import type { Configuration } from "./configuration.js";
import { Growing } from "./growing.js";
import { Model } from "./model.js";
import type { Property } from "./properties.js";
import type { Rule } from "./rules.js";
import { StateSet } from "./stateset.js";
import { traceOf } from "./trace.js";

export interface Result {
  readonly states: number;
  readonly actions: number;
  /** States in which everybody is finished, up to names. */
  readonly ends: number;
  readonly milliseconds: number;
  readonly violation?: Property;
  /** How the violation comes about, one line per step. */
  readonly trace?: readonly string[];
}

export interface Options {
  /** The rule that the protocol is searched without. */
  readonly missing?: Rule;
  /** Search all states, not only those up to names and up to the time of steps that nobody notices. */
  readonly unreduced?: boolean;
  /** Go on past violations of these. */
  readonly ignored?: readonly Property[];
}

export function explore(
  configuration: Configuration,
  { missing, unreduced = false, ignored = [] }: Options = {},
): Result {
  const start = performance.now();
  const model = new Model(configuration, missing);
  const { state } = model;
  const origin = state.slice();
  const states = new StateSet(state.length);
  const parents = new Growing();
  const causes = new Growing();
  const edges = new Growing();
  const ends: number[] = [];
  const actions: number[] = [];
  let taken = 0;

  const countUpToNames = (): number => {
    const distinct = new StateSet(state.length);
    for (const end of ends) {
      states.get(end, state);
      model.canonicalise();
      distinct.add(state);
    }
    return distinct.size;
  };
  const finish = (violation?: Property, from = 0, last?: number): Result => ({
    states: states.size,
    actions: taken,
    ends: countUpToNames(),
    milliseconds: performance.now() - start,
    ...(violation && { violation, trace: traceOf(model, states, parents, causes, from, last) }),
  });

  model.reset();
  states.add(state);
  parents.push(0);
  causes.push(0);
  for (let number = 0; number < states.size; number++) {
    states.get(number, origin);
    state.set(origin);
    model.actions(!unreduced, actions);
    let progress = false;
    for (const action of actions) {
      state.set(origin);
      const isProgress = model.isProgress(action);
      if (!model.take(action)) continue;
      taken++;
      progress ||= isProgress;
      const violation = model.check();
      if (violation !== undefined && !ignored.includes(violation)) return finish(violation, number, action);
      if (!unreduced) model.canonicalise();
      const known = states.size;
      const next = states.add(state);
      if (next === known) {
        parents.push(number);
        causes.push(action);
        if (model.isEnd) ends.push(next);
      }
      edges.push(number);
      edges.push(next);
    }
    if (!progress) {
      state.set(origin);
      const violation = model.checkStandstill();
      if (violation !== undefined) return finish(violation, number);
    }
  }
  const lost = firstWithoutWayOut(states.size, edges, ends);
  return lost < 0 ? finish() : finish("noWayOut", lost);
}

/** The first state that no way leads out of to the end; -1 if there is none. */
function firstWithoutWayOut(size: number, edges: Growing, ends: readonly number[]): number {
  const starts = new Int32Array(size + 1);
  for (let i = 1; i < edges.length; i += 2) starts[edges.get(i) + 1]!++;
  for (let i = 0; i < size; i++) starts[i + 1]! += starts[i]!;
  const sources = new Int32Array(edges.length >> 1);
  const filled = starts.slice();
  for (let i = 0; i < edges.length; i += 2) sources[filled[edges.get(i + 1)]!++] = edges.get(i);
  const leads = new Uint8Array(size);
  const queue = new Int32Array(size);
  let tail = 0;
  for (const end of ends) {
    leads[end] = 1;
    queue[tail++] = end;
  }
  for (let head = 0; head < tail; head++) {
    const state = queue[head]!;
    for (let i = starts[state]!; i < starts[state + 1]!; i++) {
      const source = sources[i]!;
      if (leads[source] === 1) continue;
      leads[source] = 1;
      queue[tail++] = source;
    }
  }
  return leads.indexOf(0);
}
