/** Many addresses in one call against one call per address, both from JavaScript. */
import { KeyStreams } from "../data/keys.js";
import { makeSlots } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import {
  atEach,
  type Case,
  type Entrant,
  type Group,
  type Results,
  type Row,
  ratios,
  type Scale,
} from "../harness/case.js";
import { gpasOf, VCPU } from "./js.js";

const UNIFORM = "batch uniform";
const COPIED = "vcpu.translate, own arrays";
const IN_PLACE = "vcpu.translate, engine memory";
const IN_PLACE_64 = "vcpu.translate, engine memory, 64 at a time";
const COPIED_64 = "vcpu.translate, own arrays, 64 at a time";
const PIECE = 64;

function total(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}

async function entrants(n: number, scale: Scale): Promise<Entrant[]> {
  const slots = makeSlots("dense", n);
  const { jsKeys: count, jsStreams: streams } = scale;
  const arena = await Arena.of(slots, count * streams);
  const { vcpu } = arena;
  const own = gpasOf(slots, "uniform", scale);
  const ownHvas = new Float64Array(count);
  const keys = new KeyStreams(slots, "uniform", count, streams);
  const inside = keys.views(arena.putGpas(keys.all));
  const insideHvas = new Float64Array(arena.memory.buffer, arena.take(count * 8), count);
  vcpu.enter();
  const entrant = (name: string, batch: (round: number) => number): Entrant => ({
    name,
    build: () => ({ operations: count, batch }),
  });
  const pieces = (array: Float64Array): Float64Array[] =>
    Array.from({ length: count / PIECE }, (_, i) => array.subarray(i * PIECE, (i + 1) * PIECE));
  const whole = (gpas: readonly Float64Array[], hvas: Float64Array) => (round: number) => {
    vcpu.translate(gpas[round % streams]!, hvas);
    return total(hvas);
  };
  const byPieces = (gpas: readonly Float64Array[], hvas: Float64Array) => {
    const sources = gpas.map(pieces);
    const targets = pieces(hvas);
    return (round: number) => {
      const from = sources[round % streams]!;
      for (let i = 0; i < targets.length; i++) vcpu.translate(from[i]!, targets[i]!);
      return total(hvas);
    };
  };
  return [
    entrant(VCPU, (round) => {
      const gpas = own[round % streams]!;
      let sum = 0;
      for (let i = 0; i < gpas.length; i++) sum += vcpu.gpaToHva(gpas[i]!);
      return sum;
    }),
    entrant(COPIED, whole(own, ownHvas)),
    entrant(COPIED_64, byPieces(own, ownHvas)),
    entrant(IN_PLACE, whole(inside, insideHvas)),
    entrant(IN_PLACE_64, byPieces(inside, insideHvas)),
  ];
}

function cases(scale: Scale): Case[] {
  return scale.sizes.map((n) => ({ name: UNIFORM, n, unit: "lookup", prepare: () => entrants(n, scale) }));
}

function rows(results: Results, { sizes }: Scale): Row[] {
  return [
    ...ratios(results, "B1", UNIFORM, COPIED, VCPU, atEach(sizes, 0.8)),
    ...ratios(results, "B1", UNIFORM, COPIED_64, VCPU, atEach(sizes, 0.8)),
    ...ratios(results, "B2", UNIFORM, IN_PLACE, VCPU, atEach(sizes, 0.6)),
  ];
}

export const batch: Group = {
  name: "batch",
  about: "many addresses per call against one call per address",
  cases,
  rows,
};
