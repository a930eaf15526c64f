/** Timer tasks and animation frames of a page that must go on: the longest time that the page was frozen. */
import { until } from "./words.js";

export class Heartbeat {
  #last = performance.now();
  #longest = 0;
  #beats = 0;
  #frames = 0;
  #stopped = false;

  constructor() {
    const beat = () => {
      this.#beats++;
      this.#look();
      if (!this.#stopped) setTimeout(beat, 1);
    };
    const frame = () => {
      this.#frames++;
      if (!this.#stopped) requestAnimationFrame(frame);
    };
    setTimeout(beat, 1);
    requestAnimationFrame(frame);
  }

  #look(): void {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last);
    this.#last = now;
  }

  /** Wait for so many more tasks and at least one more frame. */
  async more(beats: number): Promise<void> {
    const [beat, frame] = [this.#beats + beats, this.#frames + 1];
    await until(() => this.#beats >= beat && this.#frames >= frame);
  }

  /** Milliseconds of the longest time between two tasks. */
  stop(): number {
    this.#look();
    this.#stopped = true;
    return Math.round(this.#longest);
  }
}
