/**
 * The guest's console for programs: keeps what the guest writes, and types commands into its shell.
 */
/** A guest that says nothing for so long does not work any more. */
const WATCHDOG_MS = 300_000;
const POLL_MS = 5;

/** What the guest runs on, as its console sees it. */
export interface Terminal {
  type(text: string): unknown;
  /** Hand on at once what the guest has written. */
  drain(): void;
}

export class GuestConsole {
  #text = "";
  readonly #decoder = new TextDecoder();
  #machine: Terminal | undefined;
  #commands = 0;

  /** For the machine's option. */
  readonly print = (bytes: Uint8Array): void => {
    this.#text += this.#decoder.decode(bytes, { stream: true });
  };

  attach(machine: Terminal): void {
    this.#machine = machine;
  }

  /** All that was written so far. */
  get text(): string {
    this.#machine?.drain();
    return this.#text;
  }

  /** The match of `pattern` behind place `from` of the text, once it is there. @throws Error if it does not come */
  async expect(pattern: RegExp, from = 0, ms = WATCHDOG_MS): Promise<RegExpExecArray> {
    const end = performance.now() + ms;
    for (;;) {
      const match = pattern.exec(this.text.slice(from));
      if (match !== null) return match;
      if (performance.now() > end) {
        const last = this.#text.slice(-500);
        throw new Error(`the guest does not write ${pattern}; last it wrote:\n${last}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  type(text: string): void {
    this.#machine?.type(text);
  }

  /** Start a command in the guest's shell. Returns a function that awaits its end, for what it wrote. */
  start(command: string): () => Promise<string> {
    const from = this.text.length;
    const mark = `end ${++this.#commands}`;
    this.type(`${command}; echo "${mark} of $?"\n`);
    return async () => {
      const match = await this.expect(new RegExp(`^([^]*?)${mark} of (\\d+)\\n`), from);
      if (match[2] !== "0") throw new Error(`${command}: exit code ${match[2]}\n${match[1]}`);
      return match[1]!;
    };
  }

  /** Run a command in the guest's shell. Returns what it wrote. @throws Error if it fails */
  run(command: string): Promise<string> {
    return this.start(command)();
  }
}
