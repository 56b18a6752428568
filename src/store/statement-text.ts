/**
 * Statements that are put together from parts, quickly. postgres.js makes a query, which is a promise, of each part, and
 * does so anew for every call: 0.3 ms of CPU for a claim or a report, more than Postgres needs for it.
 */
import type postgres from "postgres";
import type { Sql } from "./db.ts";

/**
 * The same pool for the functions that put a move's statement together: as a tag it makes parts that cost next to
 * nothing, and the part that is awaited is sent, prepared. It knows values, parts and sql.unsafe(text), and nothing else:
 * no sql(name), no arrays of parts.
 */
export function quickly(sql: Sql): Sql {
  const tag = (strings: TemplateStringsArray, ...values: unknown[]) => new Part(sql, strings, values);
  return Object.assign(tag, { unsafe: (text: string) => new Part(sql, [text], []) }) as unknown as Sql;
}

class Part implements PromiseLike<unknown> {
  readonly #sql: Sql;
  readonly #strings: readonly string[];
  readonly #values: readonly unknown[];

  constructor(sql: Sql, strings: readonly string[], values: readonly unknown[]) {
    this.#sql = sql;
    this.#strings = strings;
    this.#values = values;
  }

  /** Sends it. A part of another statement is never awaited. */
  // biome-ignore lint/suspicious/noThenProperty: to be awaited as a query of postgres.js is
  then<A, B>(
    resolve?: ((rows: unknown) => A | PromiseLike<A>) | null,
    reject?: ((error: unknown) => B | PromiseLike<B>) | null,
  ) {
    const values: unknown[] = [];
    const text = this.#write("", values);
    return this.#sql.unsafe(text, values as postgres.ParameterOrJSON<never>[], { prepare: true }).then(resolve, reject);
  }

  #write(before: string, parameters: unknown[]): string {
    let text = before + this.#strings[0];
    for (const [at, value] of this.#values.entries()) {
      text = value instanceof Part ? value.#write(text, parameters) : `${text}$${parameters.push(value)}`;
      text += this.#strings[at + 1];
    }
    return text;
  }
}
