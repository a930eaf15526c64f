/** A progress line on a terminal, overwritten in place. */
export class Progress {
  readonly #total: number;
  readonly #start = performance.now();
  #done = 0;

  constructor(total: number) {
    this.#total = total;
  }

  step(what: string): void {
    this.#write(
      `[${++this.#done}/${this.#total}, ${Math.round((performance.now() - this.#start) / 1000)} s] ${what}`,
    );
  }

  clear(): void {
    this.#write("");
  }

  #write(line: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`);
  }
}
