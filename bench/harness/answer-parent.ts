/** The other side of child.ts, for the modules that run as processes of their own. */
import type { Answer, Question } from "./child.ts";
import { ownProfile } from "./own-profile.ts";

type Act = (details: never) => unknown;

/** Answers the parent's questions by name, those for a profile with them, until it hangs up; then `leave`, and the end of this process. */
export function answerParent(acts: Record<string, Act>, leave: () => Promise<unknown>): void {
  const all: Record<string, Act> = { ...acts, ...ownProfile };
  const send = (answer: Answer) => process.send?.(answer);
  process.on("message", async ({ id, question, details }: Question) => {
    try {
      const act = all[question];
      if (act === undefined) throw new Error(`nobody here answers ${question}`);
      send({ id, answer: (await act(details as never)) ?? null });
    } catch (error) {
      send({ id, fault: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
  // Ctrl-C reaches every process of the terminal; the parent ends its children in order.
  process.on("SIGINT", () => undefined);
  process.once("disconnect", () => {
    void Promise.resolve(leave()).finally(() => process.exit());
  });
}
