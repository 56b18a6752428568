/** The job types that metrics name. Types are free text, and each name is some thirty series: so they are bounded. */

/** Names that come later are counted together, as this one. */
export const OTHER = "other";
/** The type of what has none: a report of a job that does not exist. */
export const NO_TYPE = "";

const MOST = 100;

export class TypeNames {
  readonly #known = new Set<string>();
  readonly #most: number;

  constructor(most = MOST) {
    this.#most = most;
  }

  /** The label's value: the name itself for the first hundred, then OTHER. */
  of(type: string | null): string {
    if (type === null) return NO_TYPE;
    if (this.#known.has(type)) return type;
    if (this.#known.size >= this.#most) return OTHER;
    this.#known.add(type);
    return type;
  }
}
