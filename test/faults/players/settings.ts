/** What a player's process is told, as one JSON argument, and how it hears from its parent. */

/** The one type of job there is. */
export const TYPE = "work";

/** A job says how it is to go. */
export interface Payload {
  /** How long its handler takes. */
  ms: number;
  /** How many attempts fail first. */
  failures: number;
}

export interface WorkerSettings {
  name: string;
  token: string;
  /** Of the brokers, each through a line of its own. */
  urls: string[];
  /** Jobs at a time. */
  seats: number;
  leaseMs: number;
  seed: number;
}

/** What the parent is told by a process: that it is up, and answers. */
export type Answer = { id: number; answer: unknown };
export type Question = { id: number; question: string };

export function settingsOf<T>(): T {
  return JSON.parse(process.argv[2] ?? "{}") as T;
}

/** Answers the parent's questions by name. The process ends with its parent. */
export function answerParent(answers: Record<string, () => unknown>): void {
  process.on("message", async ({ id, question }: Question) => {
    const answer = (await answers[question]?.()) ?? null;
    process.send?.({ id, answer } satisfies Answer);
  });
  process.once("disconnect", () => process.exit());
  // Ctrl-C reaches every process of the terminal; the parent ends its children in order.
  process.on("SIGINT", () => undefined);
}
