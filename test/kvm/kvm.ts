/** The KVM of this machine, answering vector operations through driver.c. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { VectorOp, VectorSequence } from "../support/vectors.js";
import { buildDriver } from "./build.js";
import { observedOf, requestOf } from "./protocol.js";
import { Unusable } from "./unusable.js";

/** A sequence takes well below a second; an ioctl that never returns must not hang the run. */
const WATCHDOG_MS = 120_000;
/** EX_UNAVAILABLE of sysexits.h: how the driver says that the machine is at fault. */
const EX_UNAVAILABLE = 69;

/** Capabilities of this machine's KVM. */
export interface KvmFacts {
  nrMemslots: number;
  readonlyMem: boolean;
  userMemory2: boolean;
  addressSpaces: number;
  /** Guest addresses end at 2 to the power of this. */
  physAddrBits: number;
  /** KVM keeps slots of its own below 4 GiB. */
  internalSlots: boolean;
  guestMemfd: boolean;
  /** GUEST_MEMFD_FLAG_* bits that are supported. */
  guestMemfdFlags: number;
  /** Bit i: a guest_memfd with `flags` i can be created. */
  guestMemfdCreations: number;
  /** Value of KVM_CAP_MULTI_ADDRESS_SPACE. */
  multiAddressSpace: number;
  /** Bits of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 that are supported. */
  manualDirtyLogProtect2: number;
  /** Largest dirty ring in bytes, 0 where there is none. */
  dirtyLogRing: number;
}

export type Availability = ({ ok: true } & KvmFacts) | { ok: false; reason: string };

let built: Promise<string> | undefined;

/** Whether KVM can be driven here, and what it has. @throws Error when the driver itself is at fault. */
export async function available(): Promise<Availability> {
  try {
    const driver = await Driver.start("--probe");
    return { ok: true, ...factsOf(await driver.lines()) };
  } catch (error) {
    if (error instanceof Unusable) return { ok: false, reason: error.message };
    throw error;
  }
}

/** A running driver. Sequences are answered one after the other, each on a VM of its own. */
export class Kvm {
  readonly #driver: Driver;

  private constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** @throws Unusable where `available` says why not. */
  static async open(): Promise<Kvm> {
    return new Kvm(await Driver.start());
  }

  /** The ops with what KVM answered; observations that they already hold are replaced. */
  async answer({ header, ops }: VectorSequence): Promise<VectorOp[]> {
    const [, ...answers] = await this.#driver.ask([`seq ${header.vcpus}`, ...ops.map(requestOf)]);
    return ops.map((op, index) => ({ ...op, ...observedOf(op, answers[index]!) }));
  }

  async close(): Promise<void> {
    await this.#driver.lines();
  }
}

class Driver {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #exit: Promise<unknown[]>;
  #stderr = "";

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#exit = once(child, "close");
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    // Writing to a driver that has died fails; its exit status says why, once no answer comes.
    child.stdin.on("error", () => {});
  }

  static async start(...args: string[]): Promise<Driver> {
    built ??= buildDriver();
    return new Driver(spawn(await built, args));
  }

  /** Send all requests, then take as many lines. */
  async ask(requests: readonly string[]): Promise<string[]> {
    const watchdog = setTimeout(() => this.#child.kill("SIGKILL"), WATCHDOG_MS);
    try {
      this.#child.stdin.write(`${requests.join("\n")}\n`);
      const answers: string[] = [];
      while (answers.length < requests.length) {
        const next = await this.#answers.next();
        if (next.done) throw await this.#failure(requests[answers.length]);
        answers.push(next.value);
      }
      return answers;
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** End the requests and take the lines that are left. */
  async lines(): Promise<string[]> {
    this.#child.stdin.end();
    const lines: string[] = [];
    for await (const line of { [Symbol.asyncIterator]: () => this.#answers }) lines.push(line);
    const [status] = await this.#exit;
    if (status !== 0) throw await this.#failure();
    return lines;
  }

  async #failure(request?: string): Promise<Error> {
    const [status, signal] = await this.#exit;
    const message = this.#stderr.trim();
    if (status === EX_UNAVAILABLE) return new Unusable(message);
    const how = signal === null ? `with status ${status}` : `by ${signal}`;
    const where = request === undefined ? "" : ` at the request "${request}"`;
    return new Error(`the KVM driver ended ${how}${where}: ${message}`);
  }
}

function factsOf(lines: readonly string[]): KvmFacts {
  const values = new Map(lines.map((line) => line.split("=") as [string, string]));
  const fact = (name: string): number => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`the KVM driver did not tell ${name}`);
    return Number(value);
  };
  return {
    nrMemslots: fact("nr_memslots"),
    readonlyMem: fact("readonly_mem") > 0,
    userMemory2: fact("user_memory2") > 0,
    addressSpaces: fact("address_spaces"),
    physAddrBits: fact("phys_addr_bits"),
    internalSlots: fact("internal_slots") > 0,
    guestMemfd: fact("guest_memfd") > 0,
    guestMemfdFlags: fact("guest_memfd_flags"),
    guestMemfdCreations: fact("guest_memfd_creations"),
    multiAddressSpace: fact("multi_address_space"),
    manualDirtyLogProtect2: fact("manual_dirty_log_protect2"),
    dirtyLogRing: fact("dirty_log_ring"),
  };
}
