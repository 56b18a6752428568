/** JSON with its numbers as they were written: JavaScript's own reader turns 12345678901234567890 into another number. */
export type Json =
  | { kind: "object"; entries: [key: string, value: Json][] }
  | { kind: "array"; items: Json[] }
  | { kind: "string"; text: string }
  /** A number, true, false or null, as its text. */
  | { kind: "plain"; text: string };

const BLANK = /\s*/y;
const PLAIN = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Undefined for a text that is no JSON. */
export function parseJson(text: string): Json | undefined {
  try {
    const reader = new Reader(text);
    const json = reader.value();
    return reader.isAtEnd() ? json : undefined;
  } catch {
    return undefined;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): Json {
    this.#match(BLANK);
    const first = this.#text[this.#at];
    if (first === "{") return { kind: "object", entries: this.#list("}", () => this.#entry()) };
    if (first === "[") return { kind: "array", items: this.#list("]", () => this.value()) };
    if (first === '"') return { kind: "string", text: this.#string() };
    const text = this.#match(PLAIN);
    if (text === "") throw new SyntaxError(`no value at ${this.#at}`);
    return { kind: "plain", text };
  }

  isAtEnd(): boolean {
    this.#match(BLANK);
    return this.#at === this.#text.length;
  }

  #list<T>(end: string, item: () => T): T[] {
    this.#at += 1;
    if (this.#take(end)) return [];
    const items = [item()];
    while (this.#take(",")) items.push(item());
    if (!this.#take(end)) throw new SyntaxError(`no ${end} at ${this.#at}`);
    return items;
  }

  #entry(): [string, Json] {
    this.#match(BLANK);
    const key = this.#string();
    if (!this.#take(":")) throw new SyntaxError(`no : at ${this.#at}`);
    return [key, this.value()];
  }

  #string(): string {
    const from = this.#at;
    if (this.#text[from] !== '"') throw new SyntaxError(`no text at ${from}`);
    let end = from;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) throw new SyntaxError(`no end of the text at ${from}`);
    } while (this.#isEscaped(end));
    this.#at = end + 1;
    return JSON.parse(this.#text.slice(from, end + 1)) as string;
  }

  /** Whether an odd number of backslashes stands before it. */
  #isEscaped(at: number): boolean {
    let slashes = 0;
    while (this.#text[at - 1 - slashes] === "\\") slashes += 1;
    return slashes % 2 === 1;
  }

  #take(mark: string): boolean {
    this.#match(BLANK);
    if (this.#text[this.#at] !== mark) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }
}
