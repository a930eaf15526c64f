/**
 * What a guest's access costs with the map and with v86's own closures: the same guest program in two machines
 * of one process, which run in turns. The guest waits for a flag, calls, accesses one address many times and
 * calls again; the host takes the time between the calls, which it gets while the guest executes its `out`.
 */
import type { V86 } from "v86";
import { quantile } from "../../bench/harness/statistics.js";
import { LOW, ownFirmware } from "./boots.js";
import { GuestCode } from "./guest.js";
import { GuestMachine } from "./machine.js";
import { type Side, withMap, withoutMap } from "./sides.js";
import { SIZES } from "./sizes.js";

const START = 1;
const END = 2;
/** A byte of RAM that the guest waits for, and clears. */
const FLAG = 0x9000;
/** Rounds that are not counted: v86 translates the loop, and V8 compiles the handlers, in the first ones. */
const WARM_UP_ROUNDS = 5;
/** The adapter may cost this many times v86's own closures. */
export const RATIO_MAX = 1.1;

/** What the guest does many times. */
export interface SpeedCase {
  readonly what: string;
  show(side: Side, emulator: V86): void;
  loop(code: GuestCode, count: number): GuestCode;
  /** The speed that is promised is that of reads. */
  readonly isRead: boolean;
}

function show(side: Side, emulator: V86): void {
  side.create(LOW, emulator);
}

function showDevice(side: Side, emulator: V86): void {
  side.twoDevices(LOW, emulator);
}

export const SPEED_CASES: readonly SpeedCase[] = [
  { what: "memory, reads of 1 byte", show, loop: (code, n) => code.readLoop(LOW, n, 1), isRead: true },
  { what: "memory, reads of 4 bytes", show, loop: (code, n) => code.readLoop(LOW, n, 4), isRead: true },
  {
    what: "device, reads of 1 byte",
    show: showDevice,
    loop: (code, n) => code.readLoop(LOW, n, 1),
    isRead: true,
  },
  {
    what: "device, reads of 4 bytes",
    show: showDevice,
    loop: (code, n) => code.readLoop(LOW, n, 4),
    isRead: true,
  },
  { what: "memory, writes of 4 bytes", show, loop: (code, n) => code.writeLoop(LOW, n), isRead: false },
];

/** Nanoseconds of one access, and their quotient, each a median over the rounds. */
export interface SpeedResult {
  readonly what: string;
  readonly memslots: number;
  readonly v86: number;
  readonly ratio: number;
  /** Quartiles of the quotients of neighbouring rounds. */
  readonly quartiles: readonly [number, number];
  readonly isRead: boolean;
}

/** A machine that accesses when it is told to. */
class Runner {
  readonly #machine: GuestMachine;
  #start = 0;
  #elapsed = 0;
  readonly #count: number;

  private constructor(one: SpeedCase, side: Side, count: number) {
    this.#count = count;
    const code = new GuestCode();
    one.loop(code.waitFor(FLAG).write(FLAG, 0).call(START), count).call(END).repeatFrom(0);
    const options = ownFirmware.options(code);
    this.#machine = new GuestMachine(
      { ...options, ...side.options, autostart: false },
      {
        [START]: () => {
          this.#start = performance.now();
        },
        [END]: () => {
          this.#elapsed = performance.now() - this.#start;
        },
      },
    );
  }

  static async create(one: SpeedCase, side: Side, count: number): Promise<Runner> {
    const runner = new Runner(one, side, count);
    const { emulator } = runner.#machine;
    await new Promise<void>((resolve) => emulator.add_listener("emulator-loaded", () => resolve()));
    one.show(side, emulator);
    return runner;
  }

  /** Nanoseconds of an access. */
  async round(): Promise<number> {
    const { emulator } = this.#machine;
    const ended = this.#machine.called(END);
    emulator.write_memory([1], FLAG);
    await emulator.run();
    await ended;
    await emulator.stop();
    return (this.#elapsed * 1e6) / this.#count;
  }

  close(): Promise<void> {
    return this.#machine.stop();
  }
}

/** Run `rounds` counted rounds of `count` accesses of either machine, in turns. */
export async function measure(one: SpeedCase, rounds: number, count: number): Promise<SpeedResult> {
  const sides = [await withMap(SIZES), await withoutMap()];
  const [ours, theirs] = await Promise.all(sides.map((side) => Runner.create(one, side, count)));
  const samples = { memslots: [] as number[], v86: [] as number[] };
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    // Who begins alternates: what is second finds the caches of the first.
    const pair: [number, number] =
      round % 2 === 0
        ? [await ours!.round(), await theirs!.round()]
        : ([await theirs!.round(), await ours!.round()].reverse() as [number, number]);
    if (round < 0) continue;
    samples.memslots.push(pair[0]);
    samples.v86.push(pair[1]);
  }
  await Promise.all([ours!.close(), theirs!.close()]);
  const ratios = samples.memslots.map((ns, i) => ns / samples.v86[i]!);
  return {
    what: one.what,
    memslots: quantile(samples.memslots, 0.5),
    v86: quantile(samples.v86, 0.5),
    ratio: quantile(ratios, 0.5),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    isRead: one.isRead,
  };
}
