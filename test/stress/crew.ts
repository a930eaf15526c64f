/**
 * The workers of a run: hired, killed at any moment, replaced, parked for a look at the memory at rest.
 */
import { Worker } from "node:worker_threads";
import { type MemslotEngine, superviseWorker } from "memslots";
import type { Random } from "../support/random.js";
import { type Board, COMMAND, STATE } from "./board.js";
import { mix } from "./cells.js";
import { EngineState } from "./enginestate.js";
import type { Orders, Role, Start, Violation } from "./station.js";

/** How the dead died. */
export interface Deaths {
  readers: number;
  writers: number;
  /** With the writer lock: the next writer had to repair. */
  withLock: number;
  withGate: number;
  inSection: number;
}

export interface CrewOptions {
  readonly engine: MemslotEngine;
  readonly board: Board;
  readonly seed: number;
  readonly script: URL;
  /** Role of each line; line 0 is the main thread's. */
  readonly roles: readonly Role[];
  violation(text: string): void;
}

interface Member {
  readonly worker: Worker;
  readonly role: Role;
  readonly line: number;
  /** Its token in the engine. */
  owner: number;
  condemned: boolean;
}

export class Crew {
  readonly deaths: Deaths = { readers: 0, writers: 0, withLock: 0, withGate: 0, inSection: 0 };
  readonly #options: CrewOptions;
  readonly #state: EngineState;
  readonly #members = new Map<number, Member>();
  #hired = 0;
  #closing = false;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#state = new EngineState(options.engine);
    for (const [i, role] of options.roles.entries()) this.#hire(role, i + 1);
  }

  #hire(role: Role, line: number): void {
    const { engine, board, seed, script, violation } = this.#options;
    const orders: Orders = { role, board: board.handle, line, seed, ownSeed: mix(seed, ++this.#hired, 6) };
    const worker = new Worker(script, { workerData: orders });
    const member: Member = { worker, role, line, owner: 0, condemned: false };
    this.#members.set(line, member);
    board.setState(line, STATE.starting);
    worker.on("message", (message: Violation) => violation(message.violation));
    worker.on("error", (error) => {
      board.countViolation();
      violation(`the ${role} of line ${line} failed: ${error.stack}`);
    });
    // Before the engine's own listener, which lets go of all that the dead one held.
    worker.once("exit", () => this.#note(member));
    const handle = superviseWorker(engine, worker);
    member.owner = handle.owner!;
    worker.once("exit", () => {
      if (!this.#closing) this.#hire(role, line);
    });
    worker.postMessage({ handle } satisfies Start);
  }

  #note({ role, line, owner, condemned }: Member): void {
    const { board, violation } = this.#options;
    const { lock, gate, pins } = this.#state.holdings(owner);
    board.clearLine(line);
    if (this.#closing) return;
    if (role === "reader") this.deaths.readers++;
    else this.deaths.writers++;
    if (lock) this.deaths.withLock++;
    if (gate) this.deaths.withGate++;
    if (pins > 0) this.deaths.inSection++;
    if (condemned) return;
    board.countViolation();
    violation(`the ${role} of line ${line} ended by itself`);
  }

  /** A worker to kill: mostly one that holds the writer lock, or is inside a section, while it is chosen. */
  choose(role: Role, rng: Random): number {
    const { board } = this.#options;
    const all = [...this.#members.values()].filter((member) => member.role === role);
    const lock = this.#state.header("lock");
    const busy = all.filter(({ owner, line }) =>
      role === "writer" ? owner === lock : board.isInSection(line),
    );
    return rng.pick(busy.length > 0 && rng.chance(0.8) ? busy : all).line;
  }

  /** Kill the workers of these lines and wait until they are reaped; others have been hired by then. */
  async kill(lines: readonly number[]): Promise<void> {
    await Promise.all(
      lines.map((line) => {
        const member = this.#members.get(line)!;
        member.condemned = true;
        this.#options.board.setState(line, STATE.none);
        return member.worker.terminate();
      }),
    );
  }

  /** Have all workers stand still between two turns. */
  async park(): Promise<void> {
    const { board, roles } = this.#options;
    board.command = COMMAND.park;
    await board.awaitStates(() => roles.every((_, i) => board.state(i + 1) === STATE.parked));
  }

  resume(): void {
    this.#options.board.command = COMMAND.run;
  }

  /** Kill all and hire nobody. */
  async dismiss(): Promise<void> {
    this.#closing = true;
    await this.kill([...this.#members.keys()]);
  }
}
