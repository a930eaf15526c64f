/**
 * The cost of a guest's access with the map and with v86's closures: the same guest program in two machines of one
 * process, which run in turns. The guest waits for a flag, calls, accesses addresses many times and calls again. The
 * host takes the time between the calls, which it receives while the guest executes its `out`.
 *
 * Each case runs in a separate process: V8 would compile the handlers of a case with its knowledge of the one before.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { V86 } from "v86";
import { median, quantile } from "../../bench/harness/statistics.js";
import { LOW, ownFirmware } from "./boots.js";
import { GuestCode } from "./guest.js";
import { GuestMachine } from "./machine.js";
import { CONSTANTS, GRANULE_BYTES, type Side, withMap, withoutMap } from "./sides.js";
import { SIZES } from "./sizes.js";

const START = 1;
const END = 2;
/** A byte of RAM that the guest waits for, and clears. */
const FLAG = 0x9000;
/** Rounds that do not count: in these v86 translates the loop, and V8 compiles the handlers. */
const WARM_UP_ROUNDS = 10;
/** A round of either machine takes a third of a millisecond: most are over before the system takes the CPU away. */
const ACCESSES = 16_000;
/** Largest cost of the map, as a multiple of v86's closures. */
export const RATIO_MAX = 1.1;

/** The guest's repeated access. */
interface SpeedCase {
  readonly what: string;
  /** Addresses, accessed in turns. */
  readonly gpas: readonly number[];
  show(side: Side, emulator: V86, gpas: readonly number[]): void;
  readonly isRead: boolean;
  readonly size: 1 | 4;
}

const DEVICES = CONSTANTS.map((_, i) => LOW + i * GRANULE_BYTES);
const showMemory: SpeedCase["show"] = (side, emulator) => side.create(LOW, emulator);
const showDevices: SpeedCase["show"] = (side, emulator, gpas) => side.devices(gpas, emulator);

const MEMORY = { what: "memory", gpas: [LOW], show: showMemory };
const ONE_DEVICE = { what: "one device", gpas: [LOW], show: showDevices };
const ALL_DEVICES = { what: "eight devices in turns", gpas: DEVICES, show: showDevices };

const CASES: readonly SpeedCase[] = [
  { ...MEMORY, isRead: true, size: 1 },
  { ...MEMORY, isRead: true, size: 4 },
  { ...ONE_DEVICE, isRead: true, size: 1 },
  { ...ONE_DEVICE, isRead: true, size: 4 },
  { ...ALL_DEVICES, isRead: true, size: 1 },
  { ...ALL_DEVICES, isRead: true, size: 4 },
  { ...MEMORY, isRead: false, size: 4 },
  { ...ALL_DEVICES, isRead: false, size: 4 },
];

/** Nanoseconds of one access, and their quotient, each a median over the rounds. */
export interface SpeedResult {
  readonly what: string;
  readonly memslots: number;
  readonly v86: number;
  readonly ratio: number;
  /** Quartiles of the quotients of neighbouring rounds. */
  readonly quartiles: readonly [number, number];
  /** True for reads, which have a target. */
  readonly isRead: boolean;
}

/** A machine that runs one round on request. */
class Runner {
  readonly #machine: GuestMachine;
  #start = 0;
  #elapsed = 0;

  private constructor({ gpas, size, isRead }: SpeedCase, side: Side) {
    const code = new GuestCode().waitFor(FLAG).write(FLAG, 0).call(START);
    code
      .loop(isRead ? "read" : "write", gpas, ACCESSES / gpas.length, size)
      .call(END)
      .repeatFrom(0);
    const options = { ...ownFirmware.options(code), ...side.options, autostart: false };
    this.#machine = new GuestMachine(options, {
      [START]: () => {
        this.#start = performance.now();
      },
      [END]: () => {
        this.#elapsed = performance.now() - this.#start;
      },
    });
  }

  static async create(one: SpeedCase, side: Side): Promise<Runner> {
    const runner = new Runner(one, side);
    const { emulator } = runner.#machine;
    await new Promise<void>((resolve) => emulator.add_listener("emulator-loaded", () => resolve()));
    one.show(side, emulator, one.gpas);
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
    return (this.#elapsed * 1e6) / ACCESSES;
  }

  close(): Promise<void> {
    return this.#machine.stop();
  }
}

/** Run `rounds` counted rounds of either machine, in turns. */
async function measure(one: SpeedCase, rounds: number): Promise<SpeedResult> {
  const ours = await Runner.create(one, await withMap(SIZES));
  const theirs = await Runner.create(one, withoutMap());
  const memslots: number[] = [];
  const v86: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    // The machine that begins alternates, because the second one finds the caches of the first.
    const turns = [async () => memslots.push(await ours.round()), async () => v86.push(await theirs.round())];
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
  }
  await Promise.all([ours.close(), theirs.close()]);
  const counted = [memslots, v86].map((samples) => samples.slice(WARM_UP_ROUNDS)) as [number[], number[]];
  const ratios = counted[0].map((ns, i) => ns / counted[1][i]!);
  const { what, isRead, size } = one;
  return {
    what: `${what}: ${isRead ? "read" : "write"} of ${size} byte${size === 1 ? "" : "s"}`,
    memslots: median(counted[0]),
    v86: median(counted[1]),
    ratio: median(ratios),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    isRead,
  };
}

/** All cases, one after the other. @throws Error if the process of one dies */
export async function* speeds(rounds: number): AsyncGenerator<SpeedResult> {
  for (const index of CASES.keys()) {
    yield await new Promise<SpeedResult>((resolve, reject) => {
      const child = fork(fileURLToPath(import.meta.url), [String(index), String(rounds)]);
      child.once("message", (result) => resolve(result as SpeedResult));
      child.once("exit", (code) =>
        reject(new Error(`the process of speed case ${index} ended with ${code}`)),
      );
    });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [index, rounds] = process.argv.slice(2).map(Number);
  process.send?.(await measure(CASES[index!]!, rounds!));
  process.disconnect();
}
