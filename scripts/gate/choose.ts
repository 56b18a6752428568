/** Which steps a run takes. */
import type { Step } from "./run.ts";

/** The steps named by `only` (or all), less those named by `skip`; both comma-separated. Throws on an unknown name. */
export function choose(steps: readonly Step[], wish: { only?: string; skip?: string }): Step[] {
  const only = names(wish.only);
  const skip = names(wish.skip) ?? [];
  for (const name of [...(only ?? []), ...skip]) {
    if (!steps.some((step) => step.name === name)) {
      throw new Error(`no step named '${name}': the steps are ${steps.map((step) => step.name).join(", ")}`);
    }
  }
  const chosen = steps.filter((step) => (only?.includes(step.name) ?? true) && !skip.includes(step.name));
  if (chosen.length === 0) throw new Error("no step is left to run: name fewer in --skip or more in --only");
  return chosen;
}

function names(list: string | undefined): string[] | undefined {
  return list
    ?.split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}
