/** What is said about the demo while it goes on: one headline at a time, and all that happened before. */
import type { Event, Tone } from "./view.ts";

export class Chronicle {
  readonly #elapsedMs: () => number;
  readonly #onLine: (text: string) => void;
  readonly #events: Event[] = [];
  #headline: () => string = () => "";
  #current: Event | undefined;

  /** `onLine` gets each text once, for where there is no picture. */
  constructor(elapsedMs: () => number, onLine: (text: string) => void) {
    this.#elapsedMs = elapsedMs;
    this.#onLine = onLine;
  }

  /** What happens now; a function is asked again for each picture. */
  say(headline: string | (() => string), tone: Tone = "plain"): void {
    this.#headline = typeof headline === "string" ? () => headline : headline;
    this.#current = { atMs: this.#elapsedMs(), text: this.#headline(), tone };
    this.#events.push(this.#current);
    this.#onLine(`▸ ${this.#current.text}`);
  }

  /** What happens beside. */
  mention(text: string): void {
    this.#events.push({ atMs: this.#elapsedMs(), text, tone: "plain" });
    this.#onLine(`  ${text}`);
  }

  get headline(): string {
    return this.#headline();
  }

  get tone(): Tone {
    return this.#current?.tone ?? "plain";
  }

  /** All but the headline, as it was when it happened; the newest last. */
  past(): Event[] {
    return this.#events.filter((event) => event !== this.#current);
  }
}
